"""What makes nodes a cluster, and what every server process needs.

``access``    who may do what: keys, signatures, policies
``agent``     a node's part in the cluster: drives the lease, registers the node
``log_members`` who takes part in the log, as the log says
``log``       what the entries of the replicated log mean
``consensus`` the replicated log itself
``coherence`` what caches may answer and keep, as state machines
``roster``    which nodes clients are told of
``recovery``  going on with one member after a majority was lost
``data_dir``  a node's data directory
``settings``  the settings of the programs
``iso_times`` times as text
``service``   what a server process is made of: life, logs, admin port
``transport`` listeners, connections and their limits
"""
