"""Who may do what: keys, signatures, policies. Pure: ``now`` is a parameter.

* ``principals``: those who call, their access keys, and where both are looked up.
* ``denied``: a refusal, with the name, status and message by which AWS tells it.
"""
