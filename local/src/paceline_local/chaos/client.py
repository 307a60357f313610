"""Commands to a cluster that runs with chaos: ``Chaos(url).partition("primary")``."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypedDict, cast

from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos.faults import THROTTLE_ERROR_DEFAULT
from paceline_local.chaos.programs import READY_S
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

    # -- programs ---------------------------------------------------------------------------

    def kill(
        self,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        for_s: float | None = None,
    ) -> list[str]:
        """Sends SIGKILL, and returns who was killed when they are gone. They stay dead until
        ``restart`` or ``heal``, or for ``for_s``."""
        return self._names("kill", targets, zone, primary, for_s=for_s)

    def pause(
        self,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        for_s: float | None = None,
    ) -> list[str]:
        """Sends SIGSTOP, and returns who was paused."""
        return self._names("pause", targets, zone, primary, for_s=for_s)

    def resume(self, *targets: str, zone: str | None = None, primary: bool = False) -> list[str]:
        """Sends SIGCONT, to everybody who is paused if nobody is named."""
        return self._names("resume", targets, zone, primary)

    def restart(
        self,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        wait: bool = True,
    ) -> list[str]:
        """Start the dead ones again, and stop and start running ones one after the other; all dead
        ones if nobody is named. Ports, data and identity stay. ``wait``: until each is ready."""
        return self._names("restart", targets, zone, primary, wait=wait)

    # -- links ------------------------------------------------------------------------------

    def partition(
        self,
        *groups: str | Sequence[str],
        zone: str | None = None,
        primary: bool = False,
        one_way: bool = False,
        cut: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
        for_s: float | None = None,
    ) -> int:
        """Each group cannot reach the others; a single one cannot reach the rest: the other nodes
        and discovery, and DynamoDB if ``dynamodb``.

        Bytes are held back, and go on where they stopped when it is healed, as TCP's do. ``cut``:
        connections are reset and refused. ``one_way``: only what the first group sends is lost.
        ``channels``: some of ``consensus``, ``grpc``, ``dax`` and ``dynamodb`` only.
        """
        sides = [[group] if isinstance(group, str) else list(group) for group in groups]
        return self._fault(
            "partition",
            groups=sides,
            zone=zone,
            primary=primary,
            one_way=one_way,
            cut=cut,
            dynamodb=dynamodb,
            channels=list(channels),
            for_s=for_s,
        )

    def latency(
        self,
        latency_s: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        jitter_s: float = 0.0,
        to: Sequence[str] = (),
        one_way: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
        for_s: float | None = None,
    ) -> int:
        """Bytes take longer, each way, between the targets and all others; without targets between
        all. ``to``: only between the targets and these."""
        return self._fault(
            "latency",
            latency_s=latency_s,
            jitter_s=jitter_s,
            **_selected(targets, zone, primary),
            **_reach(to, one_way, dynamodb, channels),
            for_s=for_s,
        )

    def bandwidth(
        self,
        bytes_per_s: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        to: Sequence[str] = (),
        one_way: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
        for_s: float | None = None,
    ) -> int:
        """Limits what goes from one program to another, each way and per channel."""
        return self._fault(
            "bandwidth",
            bytes_per_s=bytes_per_s,
            **_selected(targets, zone, primary),
            **_reach(to, one_way, dynamodb, channels),
            for_s=for_s,
        )

    def drop(
        self,
        probability: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        to: Sequence[str] = (),
        one_way: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
        for_s: float | None = None,
    ) -> int:
        """Each piece of data resets its connection with this probability instead of arriving."""
        return self._fault(
            "drop",
            probability=probability,
            **_selected(targets, zone, primary),
            **_reach(to, one_way, dynamodb, channels),
            for_s=for_s,
        )

    # -- DynamoDB ---------------------------------------------------------------------------

    def throttle(
        self,
        share: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        error: str = THROTTLE_ERROR_DEFAULT,
        for_s: float | None = None,
    ) -> int:
        """DynamoDB refuses this share of the requests of all or of some nodes with ``error``."""
        selected = _selected(targets, zone, primary)
        return self._fault("throttle", share=share, error=error, **selected, for_s=for_s)

    def dynamodb_down(
        self,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        hang: bool = False,
        for_s: float | None = None,
    ) -> int:
        """Connections to DynamoDB are reset and refused; ``hang``: they just do not answer."""
        selected = _selected(targets, zone, primary)
        return self._fault("dynamodb-down", hang=hang, **selected, for_s=for_s)

    def dynamodb_latency(
        self,
        latency_s: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        jitter_s: float = 0.0,
        for_s: float | None = None,
    ) -> int:
        """Delays bytes to and from DynamoDB, each way: an answer comes twice this later."""
        selected = _selected(targets, zone, primary)
        return self._fault(
            "dynamodb-latency", latency_s=latency_s, jitter_s=jitter_s, **selected, for_s=for_s
        )

    def dynamodb_errors(
        self,
        share: float,
        *targets: str,
        zone: str | None = None,
        primary: bool = False,
        after: bool = False,
        for_s: float | None = None,
    ) -> int:
        """This share of requests is answered with status 500 without having been done, or
        ``after`` having been: writes whose outcome the node cannot know."""
        selected = _selected(targets, zone, primary)
        return self._fault("dynamodb-errors", share=share, after=after, **selected, for_s=for_s)

    # -- the end of it, and how it is -------------------------------------------------------

    def heal(
        self, fault: int | None = None, *, links_only: bool = False, wait: bool = True
    ) -> None:
        """End everything: link faults, pauses, and, unless ``links_only``, start dead programs and
        wait until they are ready; or end one ``fault`` alone."""
        self._call("heal", NODES_S, fault=fault, links_only=links_only, wait=wait)

    def status(self) -> ChaosStatus:
        return cast(ChaosStatus, self._answer(*self._request("GET", "status", None, CALL_S)))

    def primary(self) -> str:
        """Returns the id of the present primary; Unavailable if there is none."""
        for program in self.status()["programs"]:
            if program["role"] == "primary":
                return program["name"]
        raise Unavailable("no node is primary now")

    # -- within -----------------------------------------------------------------------------

    def _names(
        self, verb: str, targets: Sequence[str], zone: str | None, primary: bool, **more: Any
    ) -> list[str]:
        timeout_s = NODES_S if verb == "restart" else CALL_S
        found: list[str] = self._call(verb, timeout_s, **_selected(targets, zone, primary), **more)
        return found

    def _fault(self, verb: str, **body: Any) -> int:
        return int(self._call(verb, CALL_S, **body))

    def _call(self, verb: str, timeout_s: float, **body: Any) -> Any:
        given = {name: value for name, value in body.items() if value is not None}
        return self._answer(*self._request("POST", verb, given, timeout_s))["result"]

    def _request(
        self, method: str, verb: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, bytes]:
        return http_request(
            method,
            f"{self.url}/v1/{verb}",
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            timeout_s=timeout_s,
        )

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ConfigError(f"{self.url} is no chaos address: see 'chaos' in the ready file")
        if status == HTTPStatus.OK:
            return found
        message = str(found.get("error", f"answered {status}"))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unavailable(message)
        raise ConfigError(message)


def _selected(targets: Sequence[str], zone: str | None, primary: bool) -> dict[str, Any]:
    return {"targets": list(targets), "zone": zone, "primary": primary}


def _reach(
    to: Sequence[str], one_way: bool, dynamodb: bool, channels: Sequence[str]
) -> dict[str, Any]:
    return {
        "to": list(to),
        "one_way": one_way,
        "dynamodb": dynamodb,
        "channels": list(channels),
    }
