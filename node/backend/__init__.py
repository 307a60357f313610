"""DynamoDB behind the node: the only place that imports aiobotocore.

``client``    Backend: reads, which are repeated; writes and control calls
``writes``    which writes may be repeated, and what may be said of one afterwards
``calls``     one request and how it ended
``acting``    in whose name a request goes, where that is not the node's own
``caller_keys`` principals' own credentials, kept until they expire; ``providers`` asks AWS for them
``processes`` programs that profiles get theirs from, ended with what asked for them
``lean``      the hot operations' way: connections, signatures, one write for each request
``raw``       requests that are sent on as they came
``session``   an attempt, which asks for permission when the connection is in hand; aiobotocore's
              HTTP session with it
``consumed``  the capacity that answers consumed
``models``    AWS's descriptions of its services, read once
``time_limits`` one timer for the time-outs of all attempts
``bodies``    large requests and answers off the loop; refusing answers that are not JSON
``retry``     what each error of DynamoDB means; pauses between attempts (pure, given its chance)
``batches``   putting the rounds of a batch together (pure)
``sockets``   connections that are given up when nobody acknowledges what was sent
"""
