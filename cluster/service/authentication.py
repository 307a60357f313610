"""Who may call a program: where its principals come from, by its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from cluster.access.counting import Refusals
from cluster.access.directories import AllPrincipals, Directory, LogPrincipals, Sealed
from cluster.access.member_key import member_key, member_principals, signed_by
from cluster.access.sealing import Seal
from cluster.access.session_tokens import SessionTokens
from cluster.access.signatures.verification import Rules
from cluster.service.lifecycle import Lifecycle
from cluster.service.metrics import Counter, LabelledCounter, Series
from cluster.settings import ProgramSettings
from cluster.transport.dax_callers import DaxCallers
from cluster.transport.grpc_callers import GrpcCallers
from cluster.transport.restraint import Restraint
from paceline.clock import utc_now
from paceline.errors import ConfigError

if TYPE_CHECKING:
    from cluster.service.audit_log import AuditLog

KEY_FILE_CHARACTERS_MAX = 16_384

_log = structlog.get_logger()


class Authentication:
    """``dax``, ``grpc``: who lets callers in there; ``principals``: who may call by HTTP. None as
    long as authentication is off, and everybody may call. ``in_log``: the principals that commands
    change; None without a key that seals them. The file's come first: who may write it can let
    himself in anyway, and it is the way back in when all keys of the log are lost."""

    def __init__(
        self,
        settings: ProgramSettings,
        region: str,
        secret: str,
        sealed: Callable[[], Sealed],
        restraint: Restraint | None = None,
    ) -> None:
        """``region``: the one that signatures have to be for. ``secret``: the cluster's, or "".
        ``sealed``: what the log has. ConfigError for files that cannot be read, and for
        authentication without anybody."""
        access = settings.access
        self._restraint = restraint or Restraint()
        self.audit: AuditLog | None = None
        """None: there is none."""
        if access.audit_file is not None:
            from cluster.service.audit_log import AuditLog  # noqa: PLC0415 - most have none

            self.audit = AuditLog.of(access, settings.program)
        tell = None if self.audit is None else self.audit.tell
        self.refusals = Refusals(tell, tell if access.audit_decisions == "all" else None)
        self.seal: Seal | None = None
        self.in_log: LogPrincipals | None = None
        self.principals: Directory | None = None
        self.dax: DaxCallers | None = None
        self.grpc: GrpcCallers | None = None
        self.probe_signature: Callable[[], bytes] | None = None
        """What goes in front of the questions by which members are probed."""
        self.tokens: SessionTokens | None = None
        """Of temporary keys; None without a key that seals them."""
        self._file = None
        sources: list[Directory] = []
        if access.principals_file is not None:
            # Its YAML takes time to import, which a node without such a file has not to spend.
            from cluster.service.principals_file import PrincipalsFile  # noqa: PLC0415

            self._file = PrincipalsFile(access.principals_file)
            sources.append(self._file)
        if access.principals_key_file is not None:
            self.seal, self.tokens = _seals(access.principals_key_file, settings.cluster)
            self.in_log = LogPrincipals(sealed, self.seal, _warn)
            sources.append(self.in_log)
        if access.authentication == "off":
            return
        if not sources:
            raise ConfigError(
                "PACELINE_ACCESS__AUTHENTICATION is sigv4, and nobody would be known: set "
                "PACELINE_ACCESS__PRINCIPALS_KEY_FILE (principals by 'paceline principal'), "
                "PACELINE_ACCESS__PRINCIPALS_FILE, or both"
            )
        if secret:
            sources.insert(0, member_principals(secret, settings.cluster))
            key = member_key(secret, settings.cluster)
            self.probe_signature = signed_by(key, region, utc_now)
        principals = self.principals = AllPrincipals(sources, self.tokens)
        rules = Rules(region)
        refusals = self.refusals
        self.dax = DaxCallers(principals, rules, refusals=refusals, restraint=restraint)
        self.grpc = GrpcCallers(principals, rules, counted=refusals, restraint=restraint)

    def start(self, lifecycle: Lifecycle) -> None:
        if self._file is not None:
            lifecycle.spawn("principals", self._file.watch())
        if self.audit is not None:
            self.audit.start()
            lifecycle.push("audit log", self.audit.stop)

    def series(self) -> list[Series]:
        return [
            LabelledCounter(
                "access_refused",
                "requests and connections of clients that were refused, by the error's name",
                ("reason",),
                self.refusals.items,
            ),
            LabelledCounter(
                "access_audit_lines",
                "lines of the audit log by what became of them; only 'written' ones are there",
                ("outcome",),
                lambda: () if self.audit is None else self.audit.items(),
            ),
            Counter(
                "requests_throttled",
                "requests beyond what one address or principal may ask in a second",
                lambda: self._restraint.refused,
            ),
        ]

    def as_dict(self) -> dict[str, Any]:
        """For ``/status``."""
        told: dict[str, Any] = {
            "refused": self.refusals.as_dict(),
            "throttled": self._restraint.refused,
        }
        return told if self.audit is None else {**told, "audit": self.audit.as_dict()}


def _seals(path: Path, cluster: str) -> tuple[Seal, SessionTokens]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(KEY_FILE_CHARACTERS_MAX + 1)
        if len(text) > KEY_FILE_CHARACTERS_MAX:
            raise ValueError("it is too long for a few keys")
        keys = [line.strip() for line in text.splitlines() if line.strip()]
        return Seal(keys, cluster), SessionTokens(keys, cluster)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot use {path} (PACELINE_ACCESS__PRINCIPALS_KEY_FILE): {reason}"
        ) from error


def _warn(name: str, why: str) -> None:
    _log.warning("a principal of the log cannot be opened, so it is nobody", name=name, why=why)
