"""Writers outside the cluster: the primary follows tables' DynamoDB Streams.

``followed_tables``  which tables are followed, for as long as this node is the primary
``reader``           one table's stream, read for as long as an epoch lasts
``plan``             what to ask next for one table, and what to make of the answers (pure)
``steps``            what a reader wants to be done, and how that may end (pure)
``shards``           the shards of one stream, and where each is to be read next (pure)
``answers``          what the service's answers and errors mean (pure)
``own_writes``       which records are only the echo of the cluster's own writes (pure)
``invalidation``     records to fences of the primary
``client``           DynamoDB Streams itself
``assembly``         all of them put together
``metrics``          what it tells Prometheus
"""
