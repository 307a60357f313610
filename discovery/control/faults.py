"""Refusals in AWS's words. Pure. The names are those of the service's model."""

from __future__ import annotations

from cluster.access.denied import Denied

INVALID_VALUE = "InvalidParameterValueException"
INVALID_COMBINATION = "InvalidParameterCombinationException"
VALIDATION = "ValidationException"
"""Of all services: for operations whose model has neither of the two above."""


def invalid(message: str) -> Denied:
    return Denied(INVALID_VALUE, message)


def combination(message: str) -> Denied:
    return Denied(INVALID_COMBINATION, message)


def fault(name: str, message: str) -> Denied:
    return Denied(name, message)


def no_cluster(name: str) -> Denied:
    return Denied("ClusterNotFoundFault", f"Cluster {name} not found.")


def no_parameter_group(name: str) -> Denied:
    return Denied("ParameterGroupNotFoundFault", f"Parameter group {name} not found.")


def no_subnet_group(name: str) -> Denied:
    return Denied("SubnetGroupNotFoundFault", f"Subnet group {name} not found.")
