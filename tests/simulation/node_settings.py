"""The settings that a simulated node starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cluster.settings import (
    AccessSettings,
    AuditSettings,
    CacheSettings,
    DynamoDBSettings,
    LeaseSettings,
    LimitsSettings,
    Listener,
    NodeSettings,
)
from tests.simulation.options import Options
from tests.simulation.rights import Rights


class Place(Protocol):
    name: str
    peers: dict[str, str]

    @property
    def raft(self) -> str: ...
    @property
    def grpc(self) -> str: ...


def settings_of(options: Options, machine: Place, *, follow_streams: bool) -> NodeSettings:
    """The same of all nodes but for names and peers."""
    lease = options.lease
    return NodeSettings(
        node_id=machine.name,
        secret="simulated",
        peers=machine.peers,
        members_bind=machine.raft,
        grpc_bind=machine.grpc,
        listeners=[Listener(bind="127.0.0.1:1")],
        http_bind="127.0.0.1:2",
        lease=LeaseSettings(
            primary_s=lease.primary_s,
            renew_s=lease.renew_s,
            read_s=lease.read_s,
            margin=lease.margin,
            quarantine_s=lease.quarantine_s,
        ),
        cache=CacheSettings(
            record_ttl_millis=int(options.record_ttl_s * 1000),
            query_ttl_millis=int(options.query_ttl_s * 1000),
            consistent_reads="cache" if options.consistent_from_cache else "dynamodb",
            follow_streams=follow_streams,
        ),
        access=_access(options.rights),
        limits=LimitsSettings(wrong_signatures_per_minute=0),
        audit=AuditSettings(reads_per_s=options.audits_per_s),
        dynamodb=DynamoDBSettings(
            credentials="dummy",
            endpoint="http://127.0.0.1:1",
            read_timeout_s=options.read_timeout_s,
            schema_check_s=options.schema_check_s,
        ),
    )


def _access(rights: Rights | None) -> AccessSettings:
    if rights is None:
        return AccessSettings()
    return AccessSettings(
        authentication="sigv4",
        principals_key_file=Path("/simulated"),
        stale_s=rights.stale_s,
        upstream_credentials="caller" if rights.as_callers else "node",
        upstream_rights_s=rights.seen_s,
    )
