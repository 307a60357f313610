"""The official DAX clients for Go, as objects with boto3's methods: each a process of its own."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.js_client import ROOT, JsClient, JsError, Kind, LowLevel

INSTALLED = ROOT / ".tools" / "go"
BINARIES = {"go-v1": "sdkv1", "go-v2": "sdkv2"}

_PREFIX = re.compile(r"^api error \w+: ")
_FOUND_BY_THE_CLIENT = re.compile(
    r"unknown error: (invalid parameter: |serialization failed: |missing required field, )?"
    r"(Invalid |Value provided |invalid string set: |Provided list |Transaction request cannot )"
)
"""What SDK v2 says, in an error without a code, of requests that it does not send."""


class GoClient(JsClient):
    """A Go process that speaks the JavaScript driver's protocol; errors are ``JsError``, too."""

    def _driver(self, kind: Kind, endpoint: str) -> tuple[list[str], dict[str, str]]:
        skip_unless_installed()
        return [str(INSTALLED / BINARIES[kind]), endpoint], {}

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().call(method, params)
        except JsError as error:
            error.message = _PREFIX.sub("", error.message)
            if error.code in ("InvalidParameter", "ParamRequiredError") or (
                error.code == "Unknown" and _FOUND_BY_THE_CLIENT.match(error.message)
            ):
                error.code = "ValidationException"
            raise


class LowLevelGo(LowLevel):
    """What Go's types have no way to say, as boto3 has it."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        called = super().__getattr__(name)

        def call(**params: Any) -> dict[str, Any]:
            result = called(**params)
            if name in ("query", "scan") and params.get("Select") == "COUNT":
                # The client makes an empty list of none.
                assert result.pop("Items") == []
            if name == "batch_get_item":
                result.setdefault("UnprocessedKeys", {})
            if name == "batch_write_item":
                result.setdefault("UnprocessedItems", {})
            return result

        return call


class WithoutStatus:
    """boto3's client, without the HTTP status that the errors of Go's SDK v2 do not have."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._plain, name)

        def call(**params: Any) -> Any:
            try:
                return found(**params)
            except ClientError as error:
                error.response.get("ResponseMetadata", {}).pop("HTTPStatusCode", None)
                raise

        return call


def skip_unless_installed() -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    if not (INSTALLED / ".installed").is_file():
        pytest.skip("the Go clients are not installed: run 'make tools'")
