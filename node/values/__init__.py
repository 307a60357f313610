"""Values of requests and answers, however large. Pure.

``json_slices``     JSON in slices, between which others run
``msgpack_slices``  msgpack, likewise
``size``            how much a value holds
"""
