"""``make bench``: what requests cost, beside redis-server and memcached in the same run.

``__main__``   the command: its options, the setups one after the other, where results go
``cases``      what is measured: each case is a load on a server
``servers``    starts redis-server, memcached, and clusters in front of the fake DynamoDB
``processes``  CPU time and memory of a process
``measuring``  a case in a round: its load, and what the servers used meanwhile
``memory``     bytes per cached item, and CPU of a cluster that has nothing to do
``figures``    medians, ranges and ratios of all rounds
``report``     tables, and the JSON file
``plot``       bars, as an SVG
"""
