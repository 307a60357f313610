"""Asks DynamoDB itself when no node of the cluster answers.

Reads are consistent reads, so that they see every acknowledged write. A budget protects the table:
the cluster answers far more requests than a table is provisioned for.
"""

import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from paceline.client.boto import errors, model
from paceline.client.boto.guarded_client import ForeignAnswer, Sent, guarded, is_undecided
from paceline.client.core.budget import TokenBucket
from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Refused
from paceline.client.core.retry import DECISIVE, FallbackReservation
from paceline.dynamodb_operations import PARTIQL, WRITES, statements_of
from paceline.types import Params

_LOG: Final = logging.getLogger("paceline.client")

RATE_PER_S: Final = 100.0
PAUSE_S: Final = 0.1
"""How long a call waits after DynamoDB could not be reached either."""
LOG_EVERY_S: Final = 10.0
"""The same warning is logged at most so often."""
KEYS_MAX: Final = 10_000
"""How many keys of bypassed writes are kept for ``on_return``; of more, only the tables are."""

FAILURES: Final = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
)
"""The ways in which a call of botocore fails. The last one is for an answer that is not JSON."""

OnReturn = Callable[["BypassedWrites"], None]


class BypassedWrites:
    """Writes that went to DynamoDB while the cluster was away, so that no node knows of them.

    ``keys``: table to the keys of single writes. ``tables``: tables with further writes whose keys
    are not kept. Nodes may answer from their caches with the old values until the entries' TTL
    ends, unless the tables are flushed (``paceline flush --table NAME``).
    """

    def __init__(self) -> None:
        self.keys: dict[str, list[Params]] = {}
        self.tables: set[str] = set()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self.keys or self.tables)

    def add(self, operation: str, params: Params) -> None:
        for table, key in _written_keys(operation, params):
            if key is None or self._count >= KEYS_MAX:
                self.tables.add(table)
            else:
                self._count += 1
                self.keys.setdefault(table, []).append(key)


def _written_keys(operation: str, params: Params) -> list[tuple[str, Params | None]]:
    """(table, key) of each write. For a put, key is the whole item, which has the key in it; it is
    None if it is not known."""
    if operation == "BatchWriteItem":
        return [
            (table, write.get("DeleteRequest", {}).get("Key") or write["PutRequest"]["Item"])
            for table, writes in params["RequestItems"].items()
            for write in writes
        ]
    if operation == "TransactWriteItems":
        return [
            (part["TableName"], part.get("Key") or part.get("Item"))
            for entry in params["TransactItems"]
            for kind, part in entry.items()
            if kind != "ConditionCheck"
        ]
    return [(params["TableName"], params.get("Key") or params.get("Item"))]


def cost(operation: str, params: Params) -> float:
    """Tokens of the budget that a call takes: one for each key."""
    if operation == "BatchGetItem":
        return float(sum(len(get["Keys"]) for get in params["RequestItems"].values()))
    if operation == "BatchWriteItem":
        return float(sum(map(len, params["RequestItems"].values())))
    if operation in PARTIQL:
        return float(len(statements_of(operation, params)))
    if operation.startswith("Transact"):
        return float(len(params["TransactItems"]))
    return 1.0


def consistently(operation: str, params: Params) -> Params:
    """The same read with ConsistentRead where the table, and not an index, is read."""
    if operation == "BatchGetItem":
        items = {t: {"ConsistentRead": True, **get} for t, get in params["RequestItems"].items()}
        return {**params, "RequestItems": items}
    if operation in ("GetItem", "Query", "Scan") and "IndexName" not in params:
        return {"ConsistentRead": True, **params}
    return params


def is_made_once(operation: str) -> bool:
    """Whether a repeat would be another write. A transaction has a token that prevents it."""
    return operation in WRITES and operation != "TransactWriteItems"


def _leaves_doubt(code: str, metadata: Params, sent: Sent) -> bool:
    """Whether a write may have been made that DynamoDB answered with an error: by the attempt that
    got it, or by an earlier one."""
    undecided = is_undecided(metadata.get("HTTPStatusCode", 400))
    if undecided or code == "TransactionInProgressException":
        return True
    if code in DECISIVE:
        return False
    if sent.looked_at:
        return sent.in_doubt is not None
    return bool(metadata.get("RetryAttempts"))


class Fallback:
    """``client``: anything with boto3's methods, or a function that makes it when needed first.

    Its methods may return awaitables (aiobotocore) if it serves an ``AsyncClient``.
    """

    def __init__(
        self,
        client: Any,
        core: Core,
        *,
        rate_per_s: float = RATE_PER_S,
        burst: float | None = None,
        on_return: OnReturn | None = None,
    ) -> None:
        self._client = client
        self._made = False
        self._core = core
        self.clock = core.clock
        self._bucket = TokenBucket(rate_per_s, burst or max(1.0, rate_per_s), core.clock())
        self._on_return = on_return
        # An AsyncClient calls it from threads, too.
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self.bypassed = BypassedWrites()
        self._logged_at: dict[str, float] = {}
        """When each warning was last logged."""
        core.returned = self._returned
        core.release = self._release

    def refusal(
        self, operation: str, params: Params, reservation: FallbackReservation
    ) -> Refused | None:
        """None if the call may ``begin``; its tokens are then taken from the budget.

        A refused call reserves its tokens and is told how long it has to wait for them: calls that
        looked again and again whether there are tokens would do little else.
        """
        now = self._core.clock()
        if not reservation.tokens:
            tokens = cost(operation, params)
            with self._lock:
                wait_s = self._bucket.reserve(tokens, now, reservation.until - now)
            if wait_s is None or wait_s > 0:
                reservation.tokens = 0.0 if wait_s is None else tokens
                wait_s = reservation.until - now if wait_s is None else wait_s
                return Refused("no node answers, and the budget for DynamoDB is spent", wait_s)
        reservation.tokens = 0.0
        if not self._core.away:
            self._core.away = True
            self._warn("no node of %s answers: asking DynamoDB itself")
        return None

    def _release(self, reservation: FallbackReservation) -> None:
        """Gives back the tokens of a call that has ended without asking DynamoDB."""
        with self._lock:
            tokens, reservation.tokens = reservation.tokens, 0.0
            self._bucket.refund(tokens)

    def _warn(self, what: str) -> None:
        """Logs a warning now and then, and otherwise for debugging: near a cluster's limits it
        comes and goes all the time."""
        now = self._core.clock()
        rare = now >= self._logged_at.get(what, float("-inf")) + LOG_EVERY_S
        if rare:
            self._logged_at[what] = now
        _LOG.log(logging.WARNING if rare else logging.DEBUG, what, self._core.name)

    def _method(self, operation: str, sent: Sent) -> Callable[..., Any]:
        if not self._made:
            with self._making:
                if not self._made:
                    self._client = self._client() if callable(self._client) else self._client
                    self._made = True
        client = self._client
        if isinstance(client, ClientWithoutWriteRetries):
            client = client.client_for(operation)
        client = guarded(client, self.clock, sent)
        method: Callable[..., Any] = getattr(client, model.method_of(operation))
        return method

    def _params(self, operation: str, params: Params) -> Params:
        if operation not in WRITES:
            self._core.counters.fallback_reads += 1
            return consistently(operation, params)
        self._core.counters.fallback_writes += 1
        self._note(operation, params)  # before it is sent: it counts even if its outcome is unknown
        return params

    def _note(self, operation: str, params: Params) -> None:
        with self._lock:
            self.bypassed.add(operation, params)
        self._core.away = True  # after that, so that the next answer of a node reports it

    def _ended(self, operation: str, params: Params, returns: int) -> None:
        """Reports a write again that was under way when the cluster returned: it may have reached
        DynamoDB after the first report. ``returns``: the cluster's returns when the call began."""
        if operation in WRITES and self.returns != returns:
            self._note(operation, params)

    @property
    def returns(self) -> int:
        return self._core.counters.returns

    def _raised(self, error: Exception, operation: str, sent: Sent) -> Exception | Refused:
        writes = operation in WRITES
        if isinstance(error, ClientError):
            response: Any = error.response
            code = response.get("Error", {}).get("Code", "")
            if writes and _leaves_doubt(code, response.get("ResponseMetadata", {}), sent):
                return self._unknown(error, operation)
            raised: Exception = errors.exceptions().from_code(code)(response, operation)
            return raised
        if writes and sent.may_have_effect(error):
            return self._unknown(error, operation)
        if isinstance(error, ForeignAnswer):
            return Refused(f"no node answers, and {error}", PAUSE_S)
        return Refused(f"no node answers, and DynamoDB cannot be reached: {error}", PAUSE_S)

    def _unknown(self, error: Exception, operation: str) -> Exception:
        self._core.counters.unknown_outcomes += 1
        return errors.OutcomeUnknownException(
            f"the write, sent to DynamoDB itself, may or may not have been made: {error}",
            operation,
            1,
        )

    def call(self, operation: str, params: Params, reservation: FallbackReservation) -> Any:
        return self.refusal(operation, params, reservation) or self.begin(operation, params)

    def begin(self, operation: str, params: Params) -> Any:
        """Calls the client's method. Gives its result, an awaitable of that, or ``Refused``."""
        returns = self.returns
        sent = Sent(once=is_made_once(operation))
        outcome: Any = None
        try:
            outcome = self._method(operation, sent)(**self._params(operation, params))
        except FAILURES as error:
            return self._failed(error, operation, sent)
        finally:
            if not inspect.isawaitable(outcome):
                self._ended(operation, params, returns)
        if inspect.isawaitable(outcome):
            return self._later(outcome, operation, params, returns, sent)
        return outcome

    async def _later(
        self, awaited: Any, operation: str, params: Params, returns: int, sent: Sent
    ) -> Any:
        try:
            return await awaited
        except FAILURES as error:
            return self._failed(error, operation, sent)
        finally:
            self._ended(operation, params, returns)

    def _failed(self, error: Exception, operation: str, sent: Sent) -> Refused:
        """``Refused`` if nothing was sent or a read failed; raises what the application gets."""
        raised = self._raised(error, operation, sent)
        if isinstance(raised, Refused):
            return raised
        raise raised from None

    def _returned(self) -> None:
        with self._lock:
            bypassed, self.bypassed = self.bypassed, BypassedWrites()
        self._warn("the cluster at %s answers again")
        if not bypassed:
            return
        tables = sorted({*bypassed.keys, *bypassed.tables})
        _LOG.warning(
            "%d keys of tables %s were written behind the cluster, whose caches may have their "
            "old values: paceline flush --table NAME",
            sum(map(len, bypassed.keys.values())),
            ", ".join(tables),
        )
        if self._on_return is not None:
            self._on_return(bypassed)


class ClientWithoutWriteRetries:
    """Two clients in one: writes take the one that sends every request once, so that an application
    learns at once how a write ended; all else takes the one that repeats what fails."""

    def __init__(self, repeating: Any, once: Any) -> None:
        self._repeating = repeating
        self._once = once

    def client_for(self, operation: str) -> Any:
        return self._once if is_made_once(operation) else self._repeating


def dynamodb_client(
    endpoint: str | None, arguments: Mapping[str, Any], *, writes: bool = False
) -> Callable[[], Any]:
    """A function that makes a botocore client of DynamoDB itself; ``writes``: whether it is to make
    writes, too.

    An endpoint that the environment names is ignored: it is this cluster's.
    """

    def make() -> Any:
        import botocore.session  # noqa: PLC0415 - slow, and needed only when the cluster is away
        from botocore.config import Config  # noqa: PLC0415

        options: dict[str, Any] = {
            "ignore_configured_endpoint_urls": True,
            "connect_timeout": 1,
            "read_timeout": 5,
            # As many as there are callers are opened; it warns of those that it may not keep.
            "max_pool_connections": 100,
        }
        session: Any = botocore.session.get_session()

        def client(attempts: int) -> Any:
            retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
            config: Any = Config(**options, retries=retries)
            return session.create_client(
                "dynamodb", endpoint_url=endpoint, config=config, **arguments
            )

        return ClientWithoutWriteRetries(client(3), client(1)) if writes else client(3)

    return make
