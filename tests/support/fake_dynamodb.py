"""The misbehaving DynamoDB of ``flaky_http``, in a thread of its own, with one good table.

For tests whose clients block, and for nodes that are other processes: what it was asked can be
counted, and what it answers be changed, while they run.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from tests.support.flaky_http import Answer, Behaviour, FlakyDynamoDB

TABLE = "hash"
STOP_S = 5.0

_DESCRIBED = {
    "Table": {
        "TableName": TABLE,
        "TableId": "7c0b4bd4-6a6e-4a4e-9a5b-0d4d6c4e1a55",
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    }
}
_CONTROL: dict[str, dict[str, Any]] = {
    "DescribeTable": _DESCRIBED,
    "ListTables": {"TableNames": [TABLE]},
    "DescribeLimits": {},
    "DescribeEndpoints": {"Endpoints": []},
}


class FakeDynamoDB:
    """``with FakeDynamoDB() as fake``. Data operations get ``fake.behaviour``."""

    def __init__(self) -> None:
        self._behaviour: Callable[[], Behaviour] = Answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake DynamoDB")
        self._server = FlakyDynamoDB(self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._server.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._server.refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()

    @property
    def endpoint(self) -> str:
        return self._server.endpoint

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour()

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = lambda: behaviour

    def behaviours(self, choose: Callable[[], Behaviour]) -> None:
        """``choose`` is asked at each data request, in the server's thread."""
        self._behaviour = choose

    def refuse(self) -> None:
        """From now on connections are refused."""
        self._run(self._server.refuse())

    def arrived(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of every complete request of this operation so far."""
        return [params for name, params in list(self._server.requests) if name == operation]

    def counting(self, operation: str) -> Callable[[], int]:
        """A function that says how many more of them have arrived since now."""
        before = len(self.arrived(operation))
        return lambda: len(self.arrived(operation)) - before

    def _answer(self, operation: str, params: dict[str, Any]) -> Behaviour:
        if operation in _CONTROL:
            return Answer(_CONTROL[operation])
        return self.behaviour

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(STOP_S)
