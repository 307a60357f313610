"""Certificates of clients as principals, on a real cluster: by DAXS, HTTPS and gRPC with TLS."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509

from cluster.transport.member_certificates import sign
from paceline.auth.grpc_calls import sign_call
from paceline.dax.connection import ClientConnection, ErrorReply, Reply
from paceline.dax.request_types import Endpoints
from paceline.errors import PacelineError
from paceline.v1 import data_pb2 as pb
from paceline_local.testing import LocalCluster
from tests.support.certificates import ClientAuthority
from tests.support.cluster import skip_unless_startable
from tests.support.principals import Key, key_in, principal
from tests.support.waiting import wait_until

TABLE, REGION, CALL_S = "Things", "us-east-1", 20.0
ITEM = {"id": {"S": "a"}, "v": {"N": "1"}}
KEY = {"id": {"S": "a"}}
UNKNOWN = "UnrecognizedClientException"
REFUSED_HANDSHAKES = (
    ssl.SSLError,
    ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
)
"""By TLS 1.3 a client hears of it with its first answer, or sees the connection end."""


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path


@dataclass(frozen=True)
class World:
    cluster: LocalCluster
    authority: ClientAuthority
    directory: Path

    @property
    def ca(self) -> str:
        return str(self.cluster.entry()["ca"])

    def pair(self, name: str, authority: ClientAuthority | None = None, **how: Any) -> Pair:
        made = self.directory / f"{name}-{len(list(self.directory.iterdir()))}"
        return Pair(*(authority or self.authority).issue(made, name, **how))

    def add(self, name: str, *words: str) -> Key:
        told = principal(self.cluster, "add", name, *words, "--output", "json")
        return key_in(told)

    def https(self, pair: Pair | None, key: Key | None = None) -> Any:
        signing: dict[str, Any] = {"signature_version": UNSIGNED} if key is None else {}
        shown = {} if pair is None else {"client_cert": (str(pair.cert), str(pair.key))}
        return boto3.client(
            "dynamodb",
            endpoint_url=self.cluster.entry()["nodes"][0]["https"],
            region_name=REGION,
            verify=self.ca,
            config=Config(retries={"total_max_attempts": 1}, **signing, **shown),
            **({} if key is None else key.arguments),
        )

    def context(self, pair: Pair | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    skip_unless_startable()
    directory = tmp_path_factory.mktemp("clients")
    authority = ClientAuthority()
    (directory / "clients.pem").write_bytes(authority.pem)
    settings = {
        "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
        "PACELINE_ACCESS__CLIENT_CA_FILE": str(directory / "clients.pem"),
        "PACELINE_ACCESS__GRPC_CLIENT_CERTIFICATES": "true",
        "PACELINE_ACCESS__AUDIT_FILE": "stdout",
    }
    with LocalCluster.start_new(nodes=2, settings=settings, tls=True) as cluster:
        cluster.create_table(TABLE, "id")
        yield World(cluster, authority, directory)


def code(client: Any) -> str:
    """The name of the error that a read ends with; "": none."""
    try:
        client.get_item(TableName=TABLE, Key=KEY)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


# -- HTTPS -------------------------------------------------------------------------------------


def test_https_by_a_certificate_alone(world: World) -> None:
    key = world.add("orders", "--full-access")
    client = world.https(world.pair("orders"))
    wait_until(lambda: code(client) == "", "the principal is known", CALL_S)
    client.put_item(TableName=TABLE, Item=ITEM)
    for _ in range(4):  # hits too
        assert client.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    signed = world.https(world.pair("orders"), key)
    for _ in range(4):
        assert signed.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    # One that signs as before needs none.
    assert code(world.https(None, key)) == ""
    principal(world.cluster, "disable", "orders")
    for one in (client, signed):  # on their open connections
        wait_until(lambda one=one: code(one) == UNKNOWN, "it ends", CALL_S)  # type: ignore[misc]
    principal(world.cluster, "enable", "orders")
    wait_until(lambda: code(client) == "", "it goes on", CALL_S)


def test_policies_count_as_for_keys(world: World, tmp_path: Path) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"},
    }
    (tmp_path / "read.json").write_text(json.dumps(document))
    world.add("reader", "--policy", str(tmp_path / "read.json"))
    world.add("powerless")
    reader = world.https(world.pair("reader"))
    wait_until(lambda: code(reader) == "", "the principal is known", CALL_S)
    with pytest.raises(ClientError, match=r"user/reader is not authorized"):
        reader.put_item(TableName=TABLE, Item=ITEM)
    powerless = world.https(world.pair("powerless"))
    wait_until(lambda: code(powerless) == "AccessDeniedException", "it is known", CALL_S)
    told = "".join(file.read_text() for file in (world.cluster.directory / "logs").iterdir())
    assert '"access_key_id":"certificate:powerless"' in told.replace('": "', '":"')


def test_a_signature_has_to_be_of_the_same_principal(world: World) -> None:
    world.add("one", "--full-access")
    other = world.add("other", "--full-access")
    alone = world.https(world.pair("one"))
    wait_until(lambda: code(alone) == "", "the principal is known", CALL_S)
    wait_until(lambda: code(world.https(None, other)) == "", "the other is known", CALL_S)
    mixed = world.https(world.pair("one"), other)
    # Not by a form that was learned from its own connections either.
    for _ in range(3):
        assert code(mixed) == "InvalidSignatureException"
    forged = Key(other.access_key, "w" * 40)
    assert code(world.https(world.pair("other"), forged)) == "InvalidSignatureException"


@pytest.mark.parametrize("name", ["nobody", "paceline:member", ""])
def test_names_of_nobody_are_refused(world: World, name: str) -> None:
    key = world.add(f"valid{len(name)}", "--full-access")
    wait_until(lambda: code(world.https(None, key)) == "", "the key is known", CALL_S)
    pair = world.pair(name or "x", sans=[] if name else [x509.DNSName("orders"), x509.DNSName("b")])
    assert code(world.https(pair)) == UNKNOWN
    # A good signature of somebody does not help.
    assert code(world.https(pair, key)) == UNKNOWN


def hostile(world: World) -> dict[str, Pair]:
    secret = (world.cluster.directory / "secret").read_text().strip()
    shown = sign(secret, "paceline", ["node-1"], datetime.now(UTC))
    member = Pair(world.directory / "member.pem", world.directory / "member.key")
    member.cert.write_bytes(shown.chain)
    member.key.write_bytes(shown.key)
    found = {
        "another authority": world.pair("orders", ClientAuthority()),
        "its name copied": world.pair("orders", ClientAuthority("Clients")),
        "expired": world.pair("orders", lasts=timedelta(minutes=-5)),
        "for servers": world.pair("orders", usage=x509.ExtendedKeyUsageOID.SERVER_AUTH),
    }
    return found | {"a member's": member}


def test_certificates_that_are_not_good_end_the_handshake(world: World) -> None:
    key = world.add("careful", "--full-access")
    wait_until(lambda: code(world.https(None, key)) == "", "the key is known", CALL_S)
    for what, pair in hostile(world).items():
        for signing in (None, key):
            client = world.https(pair, signing)
            with pytest.raises(REFUSED_HANDSHAKES):
                client.get_item(TableName=TABLE, Key=KEY)
        with pytest.raises(REFUSED_HANDSHAKES):
            ask_roster(world, pair)
        with pytest.raises(grpc.RpcError) as refused:
            get_by_grpc(world, pair)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE, what
    assert code(world.https(None)) == "MissingAuthenticationTokenException"


# -- DAX ---------------------------------------------------------------------------------------


def ask_roster(world: World, pair: Pair | None, key: Key | None = None, *, tls: bool = True) -> int:
    """How many nodes discovery names; DynamoDBError for one that it does not let in."""
    ports = world.cluster.plan.ports
    port = ports.discovery_dax_tls if tls else ports.discovery_dax
    codec = ClientConnection()
    signed = b""
    if key is not None:
        signed = codec.authorize(key.access_key, key.secret_key, REGION, datetime.now(UTC))
    with socket.create_connection(("127.0.0.1", port), CALL_S) as plain:
        connection = plain
        if tls:
            connection = world.context(pair).wrap_socket(plain, server_hostname="127.0.0.1")
        with connection:
            connection.sendall(codec.preamble("test", b"") + signed + codec.send(Endpoints()))
            while piece := connection.recv(65536):
                codec.receive_data(piece)
                match codec.next_event():
                    case Reply(body=body):
                        return len(body)
                    case ErrorReply(error=error):
                        raise error
    raise ConnectionError("the connection was closed")


def test_dax_by_a_certificate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = world.add("dax-app", "--full-access"), world.add("dax-other", "--full-access")
    pair = world.pair("x", sans=[x509.RFC822Name("dax-app")])

    def known() -> bool:
        try:
            return ask_roster(world, pair) > 0 and ask_roster(world, None, other) > 0
        except PacelineError:
            return False

    wait_until(known, "discovery knows both", CALL_S)
    with pytest.raises(PacelineError, match="another principal"):
        ask_roster(world, pair, other)
    with pytest.raises(PacelineError, match=r"(?i)missing"):
        ask_roster(world, None)
    with pytest.raises(PacelineError):
        ask_roster(world, world.pair("nobody"), key)
    with pytest.raises(PacelineError, match=r"(?i)missing"):
        ask_roster(world, pair, tls=False)

    # The official client signs, always; it is given the certificate by the context that it makes.
    made = ssl.create_default_context
    shown: list[Pair] = [pair]

    def context(*arguments: Any, **more: Any) -> ssl.SSLContext:
        found = made(*arguments, **more)
        found.load_cert_chain(shown[0].cert, shown[0].key)
        return found

    monkeypatch.setenv("SSL_CERT_FILE", world.ca)
    monkeypatch.setattr(ssl, "create_default_context", context)
    endpoint = f"daxs://127.0.0.1:{world.cluster.plan.ports.discovery_dax_tls}"
    with AmazonDaxClient.resource(
        endpoint_url=endpoint, region_name=REGION, **key.arguments
    ) as dax:
        table = dax.Table(TABLE)
        table.put_item(Item={"id": "dax", "v": 1})
        for _ in range(4):
            assert table.get_item(Key={"id": "dax"})["Item"]["v"] == 1
        principal(world.cluster, "disable", "dax-app")

        def refused() -> bool:
            try:
                table.get_item(Key={"id": "dax"})
            except Exception as error:
                return UNKNOWN in str(error)
            return False

        wait_until(refused, "it ends on the open connections", CALL_S)


# -- gRPC --------------------------------------------------------------------------------------


def get_by_grpc(world: World, pair: Pair | None, key: Key | None = None) -> str:
    """The item's id."""
    shown = (None, None) if pair is None else (pair.key.read_bytes(), pair.cert.read_bytes())
    trusted = grpc.ssl_channel_credentials(Path(world.ca).read_bytes(), *shown)
    address = str(world.cluster.entry()["nodes"][1]["grpc_tls"])
    with grpc.secure_channel(address, trusted) as channel:
        return get_on(channel, key)


def get_on(channel: grpc.Channel, key: Key | None) -> str:
    method = "/paceline.v1.Data/GetItem"
    message = pb.GetItemRequest(table_name=TABLE, key={"id": {"s": "a"}}).SerializeToString()
    metadata = None
    if key is not None:
        metadata = sign_call(key, REGION, method, message, datetime.now(UTC))
    call = channel.unary_unary(method, None, pb.GetItemResponse.FromString)
    found: Any = call(message, timeout=CALL_S, metadata=metadata)
    return str(found.item.attributes["id"].s)


def test_grpc_by_a_certificate(world: World) -> None:
    key, other = world.add("grpc-app", "--full-access"), world.add("grpc-other", "--full-access")
    writer = world.https(None, key)
    wait_until(lambda: code(writer) == "", "the key is known", CALL_S)
    writer.put_item(TableName=TABLE, Item=ITEM)
    pair = world.pair("grpc-app")

    def outcome(channel: grpc.Channel, by: Key | None = None) -> Any:
        try:
            return get_on(channel, by)
        except grpc.RpcError as error:
            return error.code()

    trusted = grpc.ssl_channel_credentials(
        Path(world.ca).read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
    )
    address = str(world.cluster.entry()["nodes"][1]["grpc_tls"])
    with grpc.secure_channel(address, trusted) as channel:
        wait_until(lambda: outcome(channel) == "a", "the principal is known", CALL_S)
        assert outcome(channel, key) == "a"
        assert outcome(channel, other) is grpc.StatusCode.UNAUTHENTICATED
        principal(world.cluster, "disable", "grpc-app")
        unknown = grpc.StatusCode.UNAUTHENTICATED
        wait_until(lambda: outcome(channel) is unknown, "it ends on the open channel", CALL_S)
    with pytest.raises(grpc.RpcError) as refused:
        get_by_grpc(world, world.pair("nobody"), other)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as refused:
        get_by_grpc(world, None, other)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
