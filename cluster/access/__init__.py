"""Who may do what: keys, signatures, policies. Pure: ``now`` is a parameter.

* ``principals``: those who call, their access keys, and where both are looked up.
* ``roles``: what principals take on for a while.
* ``sessions``: temporary credentials, and what they are worth now; ``session_tokens``: their bytes.
* ``records``: what is kept of a principal, and its bytes; ``role_records``, ``table_records``: of
  roles, and of tables' policies; ``fields``: what all of these are made of.
* ``upstream``: where a principal's own credentials at AWS come from.
* ``sealing``: how the log has them; ``directories``: those of the log, and of several sources.
* ``currency``: how old what a node knows of them may be.
* ``signatures``: who has signed a request, and whether it is what was signed.
* ``client_certificates``: who shows one.
* ``member_key``: that of the cluster's own programs.
* ``calling``: who makes the request under way; ``deciding``: what his policies amount to.
* ``counting``: how often callers were refused; ``audit``: what the audit log says of it.
* ``rates``: how often somebody may do something; ``guessing``: addresses that try signatures.
* ``recent``: what is remembered of many.
* ``partitions``: which of AWS's a region belongs to.
* ``denied``: a refusal, with the name, status and message by which AWS tells it.
"""
