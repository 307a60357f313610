"""The JavaScript DAX clients, as objects with boto3's methods: each a Node process of its own."""

import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pytest
from botocore.exceptions import ClientError

Kind = Literal[
    "v3",
    "v3-document",
    "v2",
    "v2-document",
    "v3-http",
    "v3-http-document",
    "java",
    "java-v1",
    "java-enhanced",
    "go-v1",
    "go-v2",
]

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("js") / "driver.js"
MODULES = ROOT / ".tools" / "js" / "node_modules"
CALL_S = 40.0
"""A client that repeats a write which waits 10 s for a primary takes its time."""

LOW_LEVEL = {
    "batch_get_item": "batchGetItem",
    "batch_write_item": "batchWriteItem",
    "delete_item": "deleteItem",
    "get_item": "getItem",
    "put_item": "putItem",
    "query": "query",
    "scan": "scan",
    "transact_get_items": "transactGetItems",
    "transact_write_items": "transactWriteItems",
    "update_item": "updateItem",
}


class JsError(Exception):
    """An error that the JavaScript client gave, as the driver describes it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: str = error["code"]
        self.message: str = error["message"]
        self.status: int | None = error["status"]
        self.kind: str = error["class"]
        self.item: dict[str, Any] | None = error["item"]
        self.reasons: list[dict[str, Any]] | None = error["reasons"]


class JsClient:
    """One client of one SDK. Calls may be made by several threads at once."""

    def __init__(self, kind: Kind, endpoint: str, *, call_s: float = CALL_S) -> None:
        self._call_s = call_s
        self.kind = kind
        command, environment = self._driver(kind, endpoint)
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"driver {kind}")
        self._reader.start()

    def _driver(self, kind: Kind, endpoint: str) -> tuple[list[str], dict[str, str]]:
        """The command that speaks the driver's protocol, and what its environment must have."""
        skip_unless_installed()
        return ["node", str(DRIVER), kind, endpoint], {"NODE_PATH": str(MODULES)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of the SDK's method; JsError; TimeoutError.

        v2 is known to never end a call for which it took a connection that a killed node had
        closed while it was idle.
        """
        answer: queue.Queue[dict[str, Any] | None] = queue.Queue()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            assert self._process.stdin is not None
            line = json.dumps({"number": number, "method": method, "params": _encode(params)})
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        try:
            outcome = answer.get(timeout=self._call_s)
        except queue.Empty:
            raise TimeoutError(f"{method} of the {self.kind} client: no outcome") from None
        assert outcome is not None, f"the {self.kind} driver died during {method}"
        if "error" in outcome:
            raise JsError(_decode(outcome["error"]))
        result: dict[str, Any] = _decode(outcome["result"])
        return result

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            outcome = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(outcome["number"])
            waiting.put(outcome)
        with self._lock:
            left = list(self._waiting.values())
        for waiting in left:
            waiting.put(None)


class LowLevel:
    """``JsClient`` of a low-level kind with the methods and errors of boto3's client."""

    def __init__(self, client: JsClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name not in LOW_LEVEL:
            raise AttributeError(name)

        def call(**params: Any) -> dict[str, Any]:
            try:
                result = self._client.call(LOW_LEVEL[name], params)
            except JsError as error:
                raise as_client_error(error, name) from error
            if result.get("ItemCollectionMetrics") == {}:
                # Both SDKs make an empty map of "none", which DynamoDB leaves out.
                del result["ItemCollectionMetrics"]
            return result

        return call


def as_client_error(error: JsError, operation: str) -> ClientError:
    # v3 puts the code in front of every message.
    message = error.message.removeprefix(f"{error.code}: ")
    response: Any = {
        "Error": {"Code": error.code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": error.status},
    }
    if error.reasons is not None:
        response["CancellationReasons"] = error.reasons
    return ClientError(response, operation)


def skip_unless_installed() -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not MODULES.is_dir():
        pytest.skip("the JavaScript clients are not installed: run 'make tools'")


def _encode(value: Any) -> Any:
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        case set() | frozenset():
            return {"$set": [_encode(item) for item in value]}
        case dict():
            return {name: _encode(item) for name, item in value.items()}
        case list():
            return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    match value:
        case {"$bytes": str(text)}:
            return base64.b64decode(text)
        case {"$set": list(elements)}:
            return {_decode(item) for item in elements}
        case {"$big": str(text)}:
            return int(text)
        case dict():
            return {name: _decode(item) for name, item in value.items()}
        case list():
            return [_decode(item) for item in value]
    return value
