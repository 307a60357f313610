"""Traces: what a request did and how long it took, told to a collector beside what its caller did.

``spans``  what the rest of a node knows of traces
``otel``   the same by OpenTelemetry, loaded where traces are on
"""
