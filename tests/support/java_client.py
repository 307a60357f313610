"""The official DAX client for Java, as an object with boto3's methods: a JVM of its own."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.js_client import CALL_S, ROOT, JsClient, JsError, Kind, LowLevel

INSTALLED = ROOT / ".tools" / "java"
FOLDERS = {"java": "sdk2", "java-v1": "sdk1", "java-enhanced": "enhanced"}
JVM = ("-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx256m")
"""Tests are over before compiled code would pay for itself."""

_CODES = re.compile(r"^\[[0-9.]+\] ")


class JavaClient(JsClient):
    """A Java process that speaks the JavaScript driver's protocol; errors are ``JsError``, too."""

    def __init__(self, endpoint: str, *, kind: Kind = "java", call_s: float = CALL_S) -> None:
        super().__init__(kind, endpoint, call_s=call_s)

    def _driver(self, kind: Kind, endpoint: str) -> tuple[list[str], dict[str, str]]:
        folder = INSTALLED / FOLDERS[kind]
        skip_unless_installed(folder)
        path = f"{folder / 'classes'}:{folder / 'lib'}/*"
        return ["java", *JVM, "-cp", path, "Driver", endpoint], {}

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().call(method, params)
        except JsError as error:
            # The client puts the error's codes in front of DynamoDB's message.
            error.message = _CODES.sub("", error.message)
            raise


class LowLevelJava(LowLevel):
    """What Java's model has no way to say, or says always, as boto3 does it."""

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        called = super().__getattr__(name)

        def call(**params: Any) -> dict[str, Any]:
            result = called(**params)
            if name in ("query", "scan") and params.get("Select") == "COUNT":
                # The client makes an empty list of none.
                assert result.pop("Items") == []
            return result

        return call


class WithoutEmptyAttributes:
    """boto3's client, without the empty ``Attributes`` that the Java client does not show."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def update_item(self, **params: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._plain.update_item(**params)
        if result.get("Attributes") == {}:
            del result["Attributes"]
        return result


def skip_unless_installed(installed: Path = INSTALLED / "sdk2") -> None:
    for tool in ("java", "javac", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not (installed / "classes").is_dir():
        pytest.skip("the Java clients are not installed: run 'make tools'")
