"""The auditor: what every node would answer from its cache, compared with DynamoDB.

``auditor``   the rounds of it, at the primary
``sampling``  drawing keys of a cache (pure, given its chance)
``peeking``   what a node would answer, asked here and of other nodes
``judging``   one sample's findings (pure)
``ledger``    what all samples together say (pure)
"""
