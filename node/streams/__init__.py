"""Writers outside the cluster: the primary follows tables' DynamoDB Streams.

``shards``        the shards of one stream, and where each is to be read next (pure)
``steps``         what a follower wants to be done, and how that may end (pure)
``following``     what to ask next for one table, and what to make of the answers (pure)
``answers``       what the service's answers and errors mean (pure)
``own_writes``    which records are only the echo of the cluster's own writes (pure)
``invalidation``  records to fences of the primary
``follower``      one table's follower at work
``streams``       which tables are followed, for as long as this node is the primary
``assembly``      all of them put together
``metrics``       what it tells Prometheus
"""
