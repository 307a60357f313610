"""Which service a request is for. Pure.

A signature names one; what is not signed goes to the service that knows the operation it asks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

from discovery.services.requests import Service, ServiceRequest

_CREDENTIAL = re.compile(r"Credential=([^,\s]*)")
_PRESIGNED = re.compile(r"(?:^|&)X-Amz-Credential=([^&]{0,1024})")
_SCOPE_PARTS = 5


class Router:
    def __init__(self, services: Sequence[Service]) -> None:
        self._services = tuple(services)
        self._by_name = {one.name: one for one in services}

    def service_of(self, request: ServiceRequest) -> Service | None:
        """None: there is no such service here."""
        scope = scope_of(request)
        if scope is not None:
            return self._by_name.get(scope[1])
        return next((one for one in self._services if one.takes(request)), None)


def scope_of(request: ServiceRequest) -> tuple[str, str] | None:
    """Region and service that the signature names, which is not verified yet. None: it names
    none."""
    found = _CREDENTIAL.search(request.header("authorization"))
    credential = found[1] if found else _in_query(request.query)
    parts = credential.split("/")
    return (parts[2], parts[3]) if len(parts) == _SCOPE_PARTS else None


def _in_query(query: str) -> str:
    found = _PRESIGNED.search(query)
    return unquote_plus(found[1]) if found else ""
