"""A load generator in C, and what gives it its requests.

``build``      compiles it with the C compiler that is there, when its source has changed
``kinds``      kinds of requests as the generator reads them: bytes with holes for keys
``frames``     the bytes of an operation in each protocol, and what the right reply looks like
``generator``  runs the program: a load, or the fake DynamoDB

The program itself: ``main.c`` (its options), ``client.c`` (connections, open and closed loop),
``spec.c``, ``replies.c``, ``transport.c`` (TCP, TLS), ``histogram.c``, ``chance.c``, and
``fake.c`` with ``fake_answers.c``, a DynamoDB that answers at once.
"""
