"""Whether a request may come from a web page that a user of this machine only looks at.

A browser lets any page send requests to any address. Two headers tell: ``Origin``, which browsers
send with every POST of a page, and ``Host``, which names the page's own site where its name server
says 127.0.0.1 the second time it is asked (DNS rebinding). Pure.
"""

from __future__ import annotations

from node.frontends.http.messages import HttpRequest
from node.frontends.json_api.replies import HttpReply, error_reply
from paceline.http_hosts import HttpHosts

OF_THIS_MACHINE = ("host.docker.internal", "host.containers.internal")
"""How a container calls the machine that it runs on. No name server of the world knows them."""


def refused(request: HttpRequest, hosts: HttpHosts | None) -> HttpReply | None:
    """``hosts``: those that a port goes by which only this machine reaches, and where nobody has to
    sign; None: whoever else reaches the port is no page's way around that."""
    if request.origin:
        # No cross-origin use is meant: it would need answers to browsers' questions before.
        return error_reply("AccessDeniedException", "Requests of web pages are refused", 403)
    if hosts is None:
        return None
    found = [value for name, value in request.repeated if name == b"host"]
    found += [request.headers[b"host"]] if b"host" in request.headers else []
    if len(found) > 1:
        return error_reply("AccessDeniedException", "The Host header is there twice", 403)
    why = hosts.refusal(found[0].decode("latin-1") if found else None)
    if why is None:
        return None
    told = f"{why}; PACELINE_HTTP_HOSTS lists further names"
    return error_reply("AccessDeniedException", f"{told[:1].upper()}{told[1:]}", 403)
