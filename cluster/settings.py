"""Settings of the programs: from the environment (``PACELINE_…``), a TOML file, or both.

The environment wins over the file. Nested values use a double underscore
(``PACELINE_LEASE__PRIMARY_S=1``), lists and maps are JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

T = TypeVar("T")


class _Section(BaseModel):
    # Built as parts of the settings of the program that runs, and not once more each.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Listener(_Section):
    """A DAX front door: where to bind, and which address clients that came in here are told.

    ``advertise`` may be a name or an address; it is resolved when the node registers, since DAX
    clients connect to raw address bytes. Empty: the bound address.
    """

    name: str = "default"
    bind: str
    advertise: str = ""
    tls: bool = False


class TlsSettings(_Section):
    """PEM files. The certificate (first, then its chain) and its key are read again when they
    change; without a key file the key is in the certificate's. ``ca_file``: whom this program
    trusts when it connects to DynamoDB by https; None: the authorities that botocore knows."""

    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None


class LeaseSettings(_Section):
    """Durations of the coherence protocol. Every node of a cluster needs the same values."""

    primary_s: float = Field(0.9, gt=0)
    renew_s: float = Field(0.25, gt=0)
    read_s: float = Field(0.6, gt=0)
    margin: float = Field(0.1, gt=0, lt=0.5)
    quarantine_s: float = Field(10.0, gt=0)


QueryInvalidation = Literal["exact", "off"]
"""``exact``: a write evicts the results that it can change. ``off``: results live until their
TTL, as in DAX."""

ConsistentReads = Literal["dynamodb", "cache"]
"""Who answers reads that ask for consistency. ``cache`` is as consistent where every writer of the
table goes through the cluster, and only there."""


@dataclass(frozen=True, slots=True)
class PerTable(Generic[T]):
    """One setting's general value, and those of the tables that override it."""

    general: T
    tables: Mapping[str, T]

    def of(self, table: str) -> T:
        return self.tables.get(table, self.general)


class CacheSettings(_Section):
    bytes_max: int = Field(256 * 1024 * 1024, ge=1024 * 1024)
    record_ttl_millis: int = Field(300_000, ge=0)
    query_ttl_millis: int = Field(300_000, ge=0)
    negative_ttl_millis: int = Field(60_000, ge=0)
    eviction: Literal["s3fifo", "sieve", "lru"] = "s3fifo"
    query_invalidation: QueryInvalidation = "exact"
    consistent_reads: ConsistentReads = "dynamodb"
    follow_streams: bool = False
    tables: dict[str, TableSettings] = Field(default_factory=dict)

    def per_table(
        self, setting: Callable[[CacheSettings | TableSettings], T | None]
    ) -> PerTable[T]:
        """A setting that tables may override: ``per_table(lambda s: s.consistent_reads)``."""
        general = setting(self)
        assert general is not None, "only overrides may be None"
        found = {name: setting(table) for name, table in self.tables.items()}
        return PerTable(general, {name: v for name, v in found.items() if v is not None})


class TableSettings(_Section):
    """Overrides for one table; None keeps the general value."""

    record_ttl_millis: int | None = None
    query_ttl_millis: int | None = None
    negative_ttl_millis: int | None = None
    query_invalidation: QueryInvalidation | None = None
    consistent_reads: ConsistentReads | None = None
    follow_streams: bool | None = None


class RequestLogSettings(_Section):
    """A line about each request: what it was, how it ended, how long it took. No data of items."""

    file: Path | None = None
    """A file, or ``stdout``. None: the last lines are in memory alone."""
    format: Literal["json", "cloudwatch"] = "json"
    """``cloudwatch``: each line is an event as CloudWatch Logs takes it."""
    sample: float = Field(1.0, ge=0, le=1)
    """The share of requests that get a line. Those that are slow or a fault all do; of hits that
    are answered at once, a sixteenth of this share."""
    slow_ms: float = Field(100.0, ge=0)
    """What took so long is slow."""
    recent: int = Field(1000, ge=0, le=100_000)
    """Lines in memory."""
    bytes_max: int = Field(64 * 1024 * 1024, ge=64 * 1024)
    """Of one file; a fuller one is renamed."""
    files_max: int = Field(8, ge=1, le=1000)
    """The one that is written, and those before it."""
    keys_of: list[str] = Field(default_factory=list)
    """Tables of which the keys of items are told, too."""


class AuditSettings(_Section):
    """Comparing what nodes would answer with DynamoDB, a few keys a second."""

    reads_per_s: float = Field(1.0, ge=0, le=1000)


class DynamoDBSettings(_Section):
    """The DynamoDB behind the cluster.

    ``endpoint`` empty means AWS in ``region``. It is never taken from ``AWS_ENDPOINT_URL*``:
    applications point those at this cluster. ``credentials`` ``dummy`` signs with fixed
    placeholders (an embedded or local DynamoDB); ``default`` is the AWS credential chain.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    sts_endpoint: str = ""
    """Where roles are taken on, and accounts told. Empty: AWS's, or with an ``endpoint`` nobody."""
    credentials: Literal["default", "dummy"] = "default"
    client: Literal["lean", "aiobotocore"] = "lean"
    """How GetItem, PutItem and the other hot operations are sent."""
    connect_timeout_s: float = Field(1.0, gt=0)
    read_timeout_s: float = Field(3.0, gt=0)
    connections_max: int = Field(64, ge=1)
    schema_check_s: float = Field(3.0, gt=0)
    untouched_file: Path | None = None
    """Made by who has just started this DynamoDB, empty, for this very cluster. The node that
    begins the cluster's first epoch takes it away, and need not wait for writes of an earlier
    cluster to land. None, as for any other DynamoDB: there may be such writes."""


class LimitsSettings(_Section):
    """What clients may take of a program, over all of its ports (docs/limits.md).

    A *newcomer* is a connection that has not completed a request.
    """

    held_bytes_max: int = Field(256 * 1024 * 1024, ge=32 * 1024 * 1024)
    """Unfinished requests, those in work, and replies that were not yet sent."""
    first_byte_s: float = Field(10.0, gt=0)
    first_request_s: float = Field(30.0, gt=0)
    """From the connection's beginning to the end of its first request."""
    request_s: float = Field(60.0, gt=0)
    """From the first to the last byte of a later one."""
    newcomers_per_address: int = Field(256, ge=1)
    exempt_addresses: list[str] = Field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])
    """Addresses or networks to which limits for each address do not apply: proxies."""
    grpc_connections_max: int = Field(1024, ge=16)
    """Of one gRPC port."""
    grpc_idle_s: float = Field(300.0, ge=1)
    """A connection with no call for so long is closed."""
    grpc_slow_max: int = Field(8, ge=1)
    """Messages at once that take their time to arrive."""

    wrong_signatures_per_minute: int = Field(60, ge=0)
    """Of one address, before only keys that were good there lately are looked at. 0: any number."""
    lockout_s: float = Field(60.0, gt=0, le=86_400)
    """How long that lasts."""
    address_requests_per_s: float = Field(0.0, ge=0)
    """Of one address, over all ports; 0: any number."""
    principal_requests_per_s: float = Field(0.0, ge=0)
    """Of one principal, with all of its keys; 0: any number."""
    burst_s: float = Field(1.0, gt=0, le=3600)
    """For how many seconds' worth of such requests may come at once."""

    @field_validator("exempt_addresses")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        return _networks(value)


def _networks(value: list[str]) -> list[str]:
    for text in value:
        ip_network(text, strict=False)
    return value


class AccessSettings(_Section):
    """Who may call, and how that is proved."""

    authentication: Literal["off", "sigv4"] = "off"
    """``sigv4``: every request of a client is signed with an access key of a known principal."""
    authorization: Literal["policies", "off"] = "policies"
    """``policies``: what a principal's IAM policies do not allow is denied. ``off``: whoever is
    known may do everything. Without authentication, everybody may."""
    client_ca_file: Path | None = None
    """The authorities whose certificates name principals, in PEM, read again when it changes: who
    shows one at a port with TLS need not sign. None: nobody is asked for one."""
    grpc_client_certificates: bool = False
    """Ports for clients' gRPC with TLS let in only who shows such a certificate: the library cannot
    ask for one that need not be there."""
    account: str = Field("000000000000", pattern=r"^[0-9]{12}$")
    """The account that policies name in the ARNs of tables."""
    upstream_credentials: Literal["node", "caller"] = "node"
    """``caller``: requests go to DynamoDB with credentials of the principal that makes them, and a
    cache answers it only what DynamoDB has allowed it shortly before."""
    upstream_rights_s: float = Field(60.0, ge=0, le=3600)
    """How long that is."""
    principals_file: Path | None = None
    """YAML with principals and their keys; read again when it changes."""
    principals_key_file: Path | None = None
    """What seals the principals of the replicated log, a key of 32 or more characters a line. The
    first one seals, all of them open. None: the log has no principals, and gets none."""
    audit_file: Path | None = None
    """Where the audit log is: a file, or ``stdout``. None: there is none."""
    audit_decisions: Literal["denied", "all"] = "denied"
    """``all``: what is allowed is told, too, and hits are answered on the general way for that."""
    audit_bytes_max: int = Field(64 * 1024 * 1024, ge=64 * 1024)
    """Of one file; a fuller one is renamed."""
    audit_files_max: int = Field(8, ge=1, le=1000)
    """The one that is written, and those before it."""
    stale_s: float = Field(300.0, gt=0)
    """A node that has not heard from its cluster for so long does not let principals of the log in
    any more: it would not know of a revocation."""

    @model_validator(mode="after")
    def _callers_are_known(self) -> AccessSettings:
        if self.upstream_credentials == "caller" and self.authentication != "sigv4":
            raise ValueError(
                "PACELINE_ACCESS__UPSTREAM_CREDENTIALS=caller needs "
                "PACELINE_ACCESS__AUTHENTICATION=sigv4: nobody would know whose to take"
            )
        if self.client_ca_file is not None and self.authentication != "sigv4":
            raise ValueError(
                "PACELINE_ACCESS__CLIENT_CA_FILE needs PACELINE_ACCESS__AUTHENTICATION=sigv4: who "
                "shows no certificate would be let in all the same"
            )
        if self.grpc_client_certificates and self.client_ca_file is None:
            raise ValueError(
                "PACELINE_ACCESS__GRPC_CLIENT_CERTIFICATES needs PACELINE_ACCESS__CLIENT_CA_FILE"
            )
        return self


class ProgramSettings(BaseSettings):
    """What every server program has in common."""

    model_config = SettingsConfigDict(
        env_prefix="PACELINE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        defer_build=True,
    )

    cluster: str = "paceline"
    secret: str = ""
    secret_file: Path | None = None
    insecure: bool = False
    admin_insecure: bool = False
    """``insecure`` for the admin port alone: other machines reach it without TLS, and may give it
    commands, with its token."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    parent_fd: int | None = None
    """End of a pipe that closes when the parent dies; the program then stops."""
    dial_map: dict[str, str] = Field(default_factory=dict)
    """Peer links redirected: ``host:port`` as configured to ``host:port`` to dial instead; or, for
    one use of an address alone, ``consensus/host:port``, ``replication/…`` or ``roster/…``."""
    stop_grace_s: float = Field(10.0, ge=0)
    drain_s: float = Field(0.0, ge=0)
    """How long a node that stops stays out of the roster before it closes connections."""
    tls: TlsSettings = Field(default_factory=TlsSettings)
    grpc_reflection: bool = True
    """Clients' gRPC ports tell what services there are; where all have to sign, to those who do."""
    admin_hosts: list[str] = Field(default_factory=list)
    """Names by which the admin port may be asked, besides loopback names, its bind and advertised
    address; ``*``: any."""
    admin_readers: list[str] = Field(default_factory=lambda: ["0.0.0.0/0", "::/0"])
    """Addresses or networks from which status and metrics are read without a token."""
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)

    @field_validator("admin_readers")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        return _networks(value)

    @property
    def program(self) -> str:
        """What the program calls itself in logs."""
        return "discovery"


class NodeSettings(ProgramSettings):
    """One cache node."""

    node_id: str = "node-1"
    zone: str = "a"
    data_dir: Path | None = None
    """None: ephemeral, in a temporary directory removed at the end."""
    listeners: list[Listener] = Field(
        default_factory=lambda: [Listener(name="default", bind="127.0.0.1:8121")]
    )
    http_bind: str = "127.0.0.1:8141"
    """DynamoDB's HTTP API; empty: none."""
    http_advertise: str = ""
    https_bind: str = ""
    """The same with TLS; empty: none."""
    https_advertise: str = ""
    http_hosts: list[str] = Field(default_factory=list)
    """Names by which these two may be asked where only this machine reaches them and nobody has to
    sign, besides loopback names; ``*``: any."""
    grpc_bind: str = "127.0.0.1:8161"
    grpc_advertise: str = ""
    grpc_tls_bind: str = ""
    """The same with TLS; empty: none."""
    grpc_tls_advertise: str = ""
    admin_bind: str = "127.0.0.1:8201"
    admin_advertise: str = ""
    admin_socket: Path | None = None
    """A unix socket for this user's commands, which are taken nowhere else then."""
    members_bind: str = "127.0.0.1:8181"
    """For other nodes and discovery, with the certificates that they derive from the secret;
    without a secret there is none."""
    peers: dict[str, str] = Field(default_factory=dict)
    """Node id to members' address of every founding member, this one included; empty or only
    this node: a cluster of one."""
    connections_max: int = Field(10_000, ge=1)
    pending_max: int = Field(2_000, ge=1)
    """Requests in work beyond cache hits; more are answered with ThrottlingException."""
    lease: LeaseSettings = Field(default_factory=LeaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    request_log: RequestLogSettings = Field(default_factory=RequestLogSettings)
    traces: Literal["off", "otlp"] = "off"
    """``otlp``: spans of requests go where OpenTelemetry's own variables say."""
    dynamodb: DynamoDBSettings = Field(default_factory=DynamoDBSettings)

    @property
    def program(self) -> str:
        return self.node_id

    @property
    def founders(self) -> dict[str, str]:
        """Node id to members' address of every founding member."""
        return dict(self.peers) or {self.node_id: self.members_bind}


class DiscoverySettings(ProgramSettings):
    """One discovery process; it keeps no state."""

    region: str = "us-east-1"
    """The one that signatures have to be for, where they are asked for: that of the nodes."""

    listeners: list[Listener] = Field(
        default_factory=lambda: [Listener(name="default", bind="127.0.0.1:8111")]
    )
    grpc_bind: str = "127.0.0.1:8112"
    grpc_tls_bind: str = ""
    http_bind: str = "127.0.0.1:8113"
    """AWS's own services: STS, and DAX's control plane; empty: none."""
    https_bind: str = ""
    """The same with TLS; empty: none."""
    http_hosts: list[str] = Field(default_factory=list)
    """Names by which these two may be asked, besides loopback names, literal addresses and what is
    bound; ``*``: any."""
    launcher_socket: Path | None = None
    """Where the program is asked that starts and stops nodes. None: the control plane does not."""
    launcher_command: list[str] = Field(default_factory=list)
    """A program and its arguments that does so instead, run for each question."""
    subnets_file: Path | None = None
    """JSON: which zone each subnet of subnet groups is in. None: any, in the order of zones."""
    admin_bind: str = ""
    metrics_file: Path | None = None
    """Keeps the nodes' metrics of two weeks; None: in memory, as long as the process runs."""
    alarm_webhook: str = ""
    """Gets a POST when an alarm with actions changes its state; empty: nobody does."""
    alarm_command: list[str] = Field(default_factory=list)
    """A program and its arguments, which gets the same on its standard input."""
    push_namespace: str = Field("", pattern=r"^([A-Za-z0-9._/#:-]{1,255})?$")
    """The cluster's metrics are sent to AWS's CloudWatch under it; empty: they are not."""
    push_region: str = ""
    """Of that CloudWatch; empty: as ``region``."""
    push_endpoint: str = Field("", pattern=r"^(https?://\S+)?$")
    """Its URL; empty: AWS's."""
    push_interval_s: int = Field(60, ge=10, le=3600, multiple_of=10)
    seeds: list[str] = Field(default_factory=list)
    """Members' addresses of any nodes of the cluster."""
