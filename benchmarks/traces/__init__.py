"""``make traces``: hit ratios of eviction policies, on public traces and made ones.

``__main__``  the command, and its tables
``public``    which public traces there are, where they come from, and how they are written
``made``      zipf mixes, with scans and with a popularity that drifts
``tinylfu``   W-TinyLFU, which nodes do not have
``sketch``    how often keys were asked for of late, in few bits
``replay``    a trace through the nodes' own budget, with a policy
"""
