"""Asks the CloudWatch that discovery is, without botocore."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from paceline.auth.posts import signed_post
from paceline.client.signing import credentials_of, region_of
from paceline.clock import utc_now
from paceline.errors import ConfigError, Unavailable

ASK_S: Final = 15.0
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_TARGET: Final = "GraniteServiceVersion20100801"


class CloudWatchAsking:
    """Asks CloudWatch in its JSON protocol, signed with the environment's access key if there is
    one. Unavailable for what it refuses, and if it does not answer."""

    def __init__(self, endpoint: str, ca: str | None) -> None:
        """``ca``: a file of authorities; None: the system's. ConfigError."""
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--endpoint {endpoint!r} is no http or https URL")
        self._endpoint = endpoint
        self._parts = parts
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise ConfigError(f"--ca {ca}: {error}") from error

    def __call__(self, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        body = json.dumps(asked).encode()
        headers = {
            "host": self._parts.netloc,
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"{_TARGET}.{operation}",
        }
        keys = credentials_of(os.environ)
        if keys is not None:
            region = region_of(os.environ)
            headers = signed_post("/", headers, body, keys, region, "monitoring", utc_now())
        host, port = str(self._parts.hostname), self._parts.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=ASK_S, context=self._tls)
            if self._parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=ASK_S)
        )
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            told = answer.read(_ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self._endpoint} does not answer: {error}") from error
        finally:
            connection.close()
        try:
            found = json.loads(told) if told else {}
        except ValueError:
            found = {"message": told[:200].decode("utf-8", "replace")}
        if answer.status != HTTPStatus.OK:
            message = found.get("message") or found.get("Message") or found.get("__type", "")
            raise Unavailable(f"{self._endpoint} answered {answer.status}: {message}")
        return dict(found)
