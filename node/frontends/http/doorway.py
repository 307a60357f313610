"""What a request is answered with before anybody looks at who has signed it. Pure."""

from __future__ import annotations

from node.frontends.http import strangers
from node.frontends.http.messages import NO_SUCH_PAGE, HttpRequest, is_addressed
from node.frontends.json_api.replies import HttpReply
from paceline.http_hosts import HttpHosts


def answered(request: HttpRequest, healthy: bytes, hosts: HttpHosts | None) -> HttpReply | None:
    """None: it is a request to DynamoDB, and of no web page. ``healthy``: what load balancers are
    told. ``hosts``: as in ``strangers``."""
    if request.method in ("GET", "HEAD") and request.path == "/":
        return HttpReply(200, healthy, is_json=False)
    if not is_addressed(request.method, request.content_type, request.body):
        return HttpReply(404, NO_SUCH_PAGE, is_json=False)
    return strangers.refused(request, hosts)
