"""Commands to a cluster that runs with chaos: ``Chaos(url).partition("primary")``."""

import json
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypedDict, Unpack, cast

from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos.faults import THROTTLE_ERROR_DEFAULT
from paceline_local.chaos.programs import READY_S
from paceline_local.chaos.token import headers_for
from paceline_local.chaos.verbs import (
    Bandwidth,
    Drop,
    DynamoDBDown,
    DynamoDBErrors,
    DynamoDBLatency,
    Heal,
    Kill,
    Latency,
    Partition,
    Pause,
    Restart,
    Resume,
    Throttle,
    Verb,
)
from paceline_local.probes import http_request

CALL_S = 20.0
"""The time for a call. Killing waits for a process to be gone, stopping for a node's own grace."""

NODES_S = 12 * READY_S
"""The time to restart every node of the largest cluster, one after the other."""


class ProgramEntry(TypedDict):
    """``state``: running, paused or dead. ``role`` and ``zone`` are null for discovery, ``role``
    for a node that does not answer as well."""

    name: str
    zone: str | None
    state: str
    role: str | None
    pid: int


class FaultEntry(TypedDict):
    """``left_s``: null for a fault that lasts until it is healed."""

    id: int
    fault: str
    left_s: float | None


FlowEntry = TypedDict(
    "FlowEntry",
    {
        "from": str,
        "to": str,
        "channel": str,
        "connections": int,
        "bytes": int,
        "held_bytes": int,
        "resets": int,
        "requests_answered": int,
        "faults": dict[str, Any],
    },
)
"""What was sent from one program to another: ``bytes`` went through, ``held_bytes`` wait in the
proxy (more in the kernel's buffers). ``faults``: the members of ``Faults`` that are set."""


class ChaosStatus(TypedDict):
    programs: list[ProgramEntry]
    faults: list[FaultEntry]
    flows: list[FlowEntry]


class SelectiveOptions(TypedDict, total=False):
    """The keywords of verbs about programs; the same fields as in ``verbs.Selective``."""

    zone: str | None
    primary: bool


class LastingOptions(SelectiveOptions, total=False):
    """``for_s``: it ends by itself after so long."""

    for_s: float | None


class LinkOptions(LastingOptions, total=False):
    """The keywords of verbs about links; the same fields as in ``verbs.OnLinks``."""

    to: Sequence[str]
    one_way: bool
    dynamodb: bool
    channels: Sequence[str]


class PartitionOptions(LastingOptions, total=False):
    one_way: bool
    cut: bool
    dynamodb: bool
    channels: Sequence[str]


class Chaos:
    """The verbs of ``paceline chaos``.

    Targets are node ids, ``discovery``, ``dynamodb``, ``primary``, ``replicas`` or ``zone:NAME``,
    several of them as several arguments or with commas; the primary is whoever it is at the
    time of the call. Link faults return a number by which ``heal`` ends that fault alone, and are
    in effect on return. ``for_s``: ends by itself after so long. ConfigError: it cannot work as it
    was asked for; Unavailable: it does not work now.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._shown: dict[str, str] = {}

    # -- programs ---------------------------------------------------------------------------

    def kill(self, *targets: str, **options: Unpack[LastingOptions]) -> list[str]:
        """Sends SIGKILL, and returns who was killed when they are gone. They stay dead until
        ``restart`` or ``heal``, or for ``for_s``."""
        return self._names(Kill(targets=targets, **options))

    def pause(self, *targets: str, **options: Unpack[LastingOptions]) -> list[str]:
        """Sends SIGSTOP, and returns who was paused."""
        return self._names(Pause(targets=targets, **options))

    def resume(self, *targets: str, **options: Unpack[SelectiveOptions]) -> list[str]:
        """Sends SIGCONT, to everybody who is paused if nobody is named."""
        return self._names(Resume(targets=targets, **options))

    def restart(
        self, *targets: str, wait: bool = True, **options: Unpack[SelectiveOptions]
    ) -> list[str]:
        """Start the dead ones again, and stop and start running ones one after the other; all dead
        ones if nobody is named. Ports, data and identity stay. ``wait``: until each is ready."""
        return self._names(Restart(targets=targets, wait=wait, **options), NODES_S)

    # -- links ------------------------------------------------------------------------------

    def partition(self, *groups: str | Sequence[str], **options: Unpack[PartitionOptions]) -> int:
        """Each group cannot reach the others; a single one cannot reach the rest: the other nodes
        and discovery, and DynamoDB if ``dynamodb``.

        Bytes are held back, and go on where they stopped when it is healed, as TCP's do. ``cut``:
        connections are reset and refused. ``one_way``: only what the first group sends is lost.
        ``channels``: some of ``consensus``, ``grpc``, ``dax`` and ``dynamodb`` only.
        """
        sides = [[group] if isinstance(group, str) else list(group) for group in groups]
        return self._fault(Partition(groups=sides, **options))

    def latency(
        self,
        latency_s: float,
        *targets: str,
        jitter_s: float = 0.0,
        **options: Unpack[LinkOptions],
    ) -> int:
        """Bytes take longer, each way, between the targets and all others; without targets between
        all. ``to``: only between the targets and these."""
        return self._fault(
            Latency(latency_s=latency_s, jitter_s=jitter_s, targets=targets, **options)
        )

    def bandwidth(self, bytes_per_s: float, *targets: str, **options: Unpack[LinkOptions]) -> int:
        """Limits what goes from one program to another, each way and per channel."""
        return self._fault(Bandwidth(bytes_per_s=bytes_per_s, targets=targets, **options))

    def drop(self, probability: float, *targets: str, **options: Unpack[LinkOptions]) -> int:
        """Each piece of data resets its connection with this probability instead of arriving."""
        return self._fault(Drop(probability=probability, targets=targets, **options))

    # -- DynamoDB ---------------------------------------------------------------------------

    def throttle(
        self,
        share: float,
        *targets: str,
        error: str = THROTTLE_ERROR_DEFAULT,
        **options: Unpack[LastingOptions],
    ) -> int:
        """DynamoDB refuses this share of the requests of all or of some nodes with ``error``."""
        return self._fault(Throttle(share=share, error=error, targets=targets, **options))

    def dynamodb_down(
        self, *targets: str, hang: bool = False, **options: Unpack[LastingOptions]
    ) -> int:
        """Connections to DynamoDB are reset and refused; ``hang``: they just do not answer."""
        return self._fault(DynamoDBDown(hang=hang, targets=targets, **options))

    def dynamodb_latency(
        self,
        latency_s: float,
        *targets: str,
        jitter_s: float = 0.0,
        **options: Unpack[LastingOptions],
    ) -> int:
        """Delays bytes to and from DynamoDB, each way: an answer comes twice this later."""
        return self._fault(
            DynamoDBLatency(latency_s=latency_s, jitter_s=jitter_s, targets=targets, **options)
        )

    def dynamodb_errors(
        self,
        share: float,
        *targets: str,
        after: bool = False,
        **options: Unpack[LastingOptions],
    ) -> int:
        """This share of requests is answered with status 500 without having been done, or
        ``after`` having been: writes whose outcome the node cannot know."""
        return self._fault(DynamoDBErrors(share=share, after=after, targets=targets, **options))

    # -- the end of it, and how it is -------------------------------------------------------

    def heal(
        self, fault: int | None = None, *, links_only: bool = False, wait: bool = True
    ) -> None:
        """End everything: link faults, pauses, and, unless ``links_only``, start dead programs and
        wait until they are ready; or end one ``fault`` alone."""
        self.do(Heal(fault=fault, links_only=links_only, wait=wait), NODES_S)

    def do(self, verb: Verb, timeout_s: float = NODES_S) -> Any:
        """Sends ``verb``. Returns the names of the programs that were changed, the number of a
        fault, or None."""
        return self._answer(*self._request("POST", verb.name, verb.to_json(), timeout_s))["result"]

    def status(self) -> ChaosStatus:
        return cast(ChaosStatus, self._answer(*self._request("GET", "status", None, CALL_S)))

    def primary(self) -> str:
        """Returns the id of the present primary; Unavailable if there is none."""
        for program in self.status()["programs"]:
            if program["role"] == "primary":
                return program["name"]
        raise Unavailable("no node is primary now")

    # -- within -----------------------------------------------------------------------------

    def _names(self, verb: Verb, timeout_s: float = CALL_S) -> list[str]:
        found: list[str] = self.do(verb, timeout_s)
        return found

    def _fault(self, verb: Verb) -> int:
        return int(self.do(verb, CALL_S))

    def _request(
        self, method: str, verb: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, bytes]:
        """The server says where its token is; another one has another token."""
        status, answer = self._request_once(method, verb, body, timeout_s)
        if status == HTTPStatus.UNAUTHORIZED:
            self._shown = headers_for(_object(answer) or {}, os.environ)
            status, answer = self._request_once(method, verb, body, timeout_s)
        return status, answer

    def _request_once(
        self, method: str, verb: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, bytes]:
        return http_request(
            method,
            f"{self.url}/v1/{verb}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._shown},
            timeout_s=timeout_s,
        )

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        found = _object(body)
        if found is None:
            raise ConfigError(f"{self.url} is no chaos address: see 'chaos' in the ready file")
        if status == HTTPStatus.OK:
            return found
        message = str(found.get("error", f"answered {status}"))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unavailable(message)
        raise ConfigError(message)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
