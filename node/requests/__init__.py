"""What a request names and may change, read from its text alone. Pure.

``reach``        which tables it may change, and so which way it goes to DynamoDB; its form there
``statements``   which tables PartiQL statements write to
``key_conditions`` the conditions of a KeyConditionExpression
``excess``       what no request of DynamoDB's has so many of
``counts``       what is counted of requests
``capacity``     what DynamoDB's answers consumed, as told or by the sizes of items
``draws``        numbers as if drawn, by which requests are sampled
``hit_samples``  what is learned from one hit in sixteen; ``hot_keys``: which keys are read most
``log_lines``    what the request log says of a request
``table_names``  names of tables, also where they are not where they should be
"""
