"""DynamoDB Streams behind the node: single attempts, for a reader that paces itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cluster.settings import DynamoDBSettings
from node.backend.calls import Caller, Refusal, Success
from paceline import clock
from paceline.errors import Unavailable
from paceline.types import Params, Result


class StreamClient:
    """The guards are those of ``Backend``: the endpoint is the setting's and nothing else's, the
    SDK repeats nothing, an answer that is not DynamoDB's is none. Against AWS botocore knows the
    streams' own host; a local DynamoDB answers for its streams under the same address.
    """

    def __init__(
        self,
        settings: DynamoDBSettings,
        *,
        now: Callable[[], float] = clock.now,
        ca_file: Path | None = None,
    ) -> None:
        self._caller = Caller(settings, now, "dynamodbstreams", ca_file)

    async def start(self) -> None:
        """Contacts nobody. Raises ConfigError."""
        await self._caller.start()

    async def stop(self) -> None:
        await self._caller.stop()

    async def call(self, operation: str, params: Params, deadline: float) -> Result:
        """Makes one attempt. Raises DynamoDBError for an error that the service answered,
        Unavailable if nothing came."""
        end = await self._caller.call(operation, params, deadline)
        match end:
            case Success(result=result):
                return result
            case Refusal(error=error):
                raise error
        raise Unavailable(f"{operation} got no answer from DynamoDB Streams: {end.reason}")
