"""Reads docker-compose.yml, .env and Dockerfile as far as this project uses them.

What Compose itself would refuse or treat differently is refused here, too: an unknown form raises
ValueError instead of being skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HEALTHY = "service_healthy"
COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Dependency:
    condition: str
    required: bool


@dataclass(frozen=True, slots=True)
class HealthCheck:
    test: tuple[str, ...]
    interval_s: float
    timeout_s: float
    retries: int
    start_period_s: float


@dataclass(frozen=True, slots=True)
class Published:
    host_ip: str
    host_port: int
    container_port: int


@dataclass(frozen=True, slots=True)
class Mount:
    volume: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Service:
    """One service with variables filled in. ``raw`` is its YAML, merged and filled in."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    depends_on: Mapping[str, Dependency]
    health: HealthCheck | None
    ports: tuple[Published, ...]
    mounts: tuple[Mount, ...]
    profiles: frozenset[str]
    names: frozenset[str]
    """What other containers call it: its own name and aliases."""
    stop_grace_s: float
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    services: Mapping[str, Service]
    volumes: frozenset[str]

    def enabled(self, profiles: Collection[str]) -> dict[str, Service]:
        """The services that ``docker compose --profile … up`` starts, in dependency order.

        ValueError as Compose says it: a required dependency is disabled, or there is a cycle.
        """
        chosen = {
            name: service
            for name, service in self.services.items()
            if not service.profiles or service.profiles & set(profiles)
        }
        ordered: dict[str, Service] = {}
        waiting = dict(chosen)
        while waiting:
            ready = [
                name
                for name, service in waiting.items()
                if all(other in ordered for other in dependencies(service, chosen))
            ]
            if not ready:
                raise ValueError(f"dependency cycle among {sorted(waiting)}")
            for name in ready:
                ordered[name] = waiting.pop(name)
        return ordered


def dependencies(service: Service, enabled: Collection[str]) -> dict[str, Dependency]:
    """Those of ``service`` that are enabled."""
    for name, dependency in service.depends_on.items():
        if dependency.required and name not in enabled:
            raise ValueError(f"service {service.name!r} depends on undefined service {name!r}")
    return {name: d for name, d in service.depends_on.items() if name in enabled}


def load_project(file: Path, variables: Mapping[str, str], *overrides: Path) -> Project:
    """``variables``: what the shell and .env would set. ``overrides``: further files, as with
    ``docker compose -f file -f override``."""
    raw = yaml.safe_load(file.read_text())
    for override in overrides:
        raw = _merged(raw, yaml.safe_load(override.read_text()))
    raw = fill_in(raw, variables)
    services = {name: _service(name, entry, variables) for name, entry in raw["services"].items()}
    return Project(services, frozenset(raw["volumes"]))


def _merged(base: Any, over: Any) -> Any:
    """Maps are merged, and lists put together, as Compose does with ports and volumes."""
    if isinstance(base, dict) and isinstance(over, dict):
        if unknown := set(over) & {"command", "entrypoint", "healthcheck"}:
            raise ValueError(f"Compose does not merge {sorted(unknown)} so")
        return {**base, **{k: _merged(base[k], v) if k in base else v for k, v in over.items()}}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return over


def load_dotenv(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>\w+)|\{(?P<name>\w+)(?:(?P<op>:?-)(?P<default>[^}]*))?\})|\$"
)


def fill_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Variables in every string of a YAML value; ``${NAME}``, ``${NAME-x}``, ``${NAME:-x}``."""
    if isinstance(value, dict):
        return {key: fill_in(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name = match["bare"] or match["name"]
        if name is None:
            raise ValueError(f"invalid variable in {value!r}")
        found = variables.get(name)
        if found is None or (match["op"] == ":-" and not found):
            found = match["default"]
        if found is None:
            raise ValueError(f"{name} is not set and has no default, in {value!r}")
        return found

    return _VARIABLE.sub(replace, value)


_DURATION = re.compile(r"(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def duration_s(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is no duration")
    return 60 * int(match[1] or 0) + float(match[2] or 0)


def _service(name: str, raw: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    networks = raw.get("networks", {"default": {}})
    if set(networks) != {"default"}:
        raise ValueError(f"{name}: one network is all that is known here")
    return Service(
        name=name,
        image=raw["image"],
        command=_words(raw["command"]),
        environment=_environment(raw.get("environment", {}), variables),
        depends_on={
            other: Dependency(entry["condition"], entry.get("required", True))
            for other, entry in raw.get("depends_on", {}).items()
        },
        health=_health(raw["healthcheck"]) if "healthcheck" in raw else None,
        ports=tuple(_published(text) for text in raw.get("ports", [])),
        mounts=tuple(_mount(text) for text in raw.get("volumes", [])),
        profiles=frozenset(raw.get("profiles", [])),
        names=frozenset([name, *networks["default"].get("aliases", [])]),
        stop_grace_s=duration_s(raw.get("stop_grace_period", "10s")),
        raw=raw,
    )


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"write {value!r} as a list of strings: nothing is left to a shell")
    return tuple(value)


def _environment(raw: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    """Null takes the variable of the same name over, if it is set."""
    found = {}
    for name, value in raw.items():
        if value is None:
            if name in variables:
                found[name] = variables[name]
        elif isinstance(value, bool):
            raise ValueError(f"{name}: Compose wants booleans quoted")
        else:
            found[name] = str(value)
    return found


def _health(raw: Mapping[str, Any]) -> HealthCheck:
    return HealthCheck(
        test=_words(raw["test"]),
        interval_s=duration_s(raw["interval"]),
        timeout_s=duration_s(raw["timeout"]),
        retries=int(raw["retries"]),
        start_period_s=duration_s(raw["start_period"]),
    )


def _published(text: str) -> Published:
    parts = text.split(":")
    if len(parts) == 2:
        return Published("0.0.0.0", int(parts[0]), int(parts[1]))
    host_ip, host_port, container_port = parts
    return Published(host_ip, int(host_port), int(container_port))


def _mount(text: str) -> Mount:
    volume, target, *mode = text.split(":")
    if volume.startswith((".", "/", "~")):
        raise ValueError(f"{text!r} mounts a directory of the host")
    return Mount(volume, target, mode == ["ro"])


@dataclass(frozen=True, slots=True)
class Image:
    """The last stage of the Dockerfile. ``copied``: container path to path in the checkout."""

    stages: int
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    copied: Mapping[str, str]
    sources: tuple[str, ...]
    """Everything that any stage copies from the checkout."""


def load_image(file: Path) -> Image:
    text = file.read_text().replace("\\\n", " ")
    instructions = [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in text.splitlines())
        if word and not word.startswith("#")
    ]
    stages = [index for index, (word, _) in enumerate(instructions) if word == "FROM"]
    last = instructions[stages[-1] :]
    final = dict(last)
    environment: dict[str, str] = {}
    for rest in (rest for word, rest in last if word == "ENV"):
        environment |= dict(pair.split("=", 1) for pair in rest.split())
    copied = {}
    for rest in _copies(last):
        source, target = rest.split()
        copied[target] = source
    sources = [name for rest in _copies(instructions) for name in rest.split()[:-1]]
    return Image(
        stages=len(stages),
        entrypoint=tuple(json.loads(final["ENTRYPOINT"])),
        environment=environment,
        user=final["USER"],
        copied=copied,
        sources=tuple(sources),
    )


def _copies(instructions: Iterable[tuple[str, str]]) -> list[str]:
    return [rest for word, rest in instructions if word == "COPY" and "--from=" not in rest]
