"""Signature Version 4: who has signed a request, and whether it is what was signed. Pure.

* ``refusals``: AWS's names and words for what is wrong with a signature.
* ``timestamps``: the forms in which signed dates come.
* ``requests``: a request as it is verified, within bounds.
* ``canonical``: the text that is signed, made from a request.
* ``claims``: what a request says of its signature, in a header or in its query.
* ``signing_keys``: keys derived from secrets, of which the latest are kept.
* ``verification``: the steps in DynamoDB's order, from a claim to a principal.
* ``dax``: the signatures in front of a DAX connection's requests.
* ``grpc_calls``: the form in which calls by gRPC are signed.
"""
