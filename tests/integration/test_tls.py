"""Every way in with TLS, on one cluster that ``paceline up --tls`` made certificates for."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import grpc
import grpc.aio
import pytest
from amazondax import AmazonDaxClient
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

import paceline
from cluster.roster.prober import ENDPOINTS, PREAMBLE
from paceline.client.boto.errors import ClusterUnavailable
from paceline.errors import ConfigError
from paceline.v1 import data_pb2, data_pb2_grpc, replication_pb2, replication_pb2_grpc
from paceline_local.certificates import Authority
from paceline_local.probes import http_request
from tests.conformance.test_http_clients import ENVIRONMENT, tool
from tests.support.certificates import write_pair
from tests.support.cluster import Cluster
from tests.support.doctor import doctor
from tests.support.js_client import JsClient
from tests.support.waiting import wait_until

CREDENTIALS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}
LARGE = {"id": {"S": "large"}, "text": {"S": "x" * 300_000}}
"""Of many records of TLS each way."""
CALL_S = 20.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    arguments = ["--tls", "--demo", "--nodes", "2"]
    with Cluster(tmp_path_factory.mktemp("tls"), arguments=arguments) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def idle(cluster: Cluster) -> Iterator[list[socket.socket]]:
    """Connections that begin no handshake, from before the first test to the last."""
    node = cluster.entry["nodes"][0]
    addresses = [dax(cluster), node.get("dax_tls"), node.get("https"), node.get("grpc_tls")]
    connections = [
        socket.create_connection(("127.0.0.1", port_of(address))) for address in addresses
    ]
    yield connections
    for connection in connections:
        connection.close()


@pytest.fixture(scope="module")
def ca(cluster: Cluster) -> str:
    return str(cluster.entry["ca"])


@pytest.fixture(scope="module")
def wrong_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("wrong") / "ca.pem"
    path.write_bytes(Authority.new("Somebody else").pem)
    return str(path)


def port_of(address: Any) -> int:
    return int(str(address).rpartition(":")[2])


def dax(cluster: Cluster) -> str:
    return str(cluster.entry["dax_tls"])


def https(cluster: Cluster, number: int = 0) -> str:
    return str(cluster.entry["nodes"][number]["https"])


def grpc_tls(cluster: Cluster) -> str:
    return str(cluster.entry["nodes"][1]["grpc_tls"])


def key(name: str) -> dict[str, Any]:
    return {"id": {"S": name}}


def boto3_client(endpoint: str, verify: str | None = None) -> Any:
    """One that tries once."""
    session: Any = botocore.session.get_session()
    session.set_config_variable("max_attempts", 1)
    return session.create_client("dynamodb", endpoint_url=endpoint, verify=verify, **CREDENTIALS)


def exercised(client: Any, name: str) -> None:
    """A small and a large item, there and back."""
    item = {**key(name), "by": {"S": "tls"}}
    client.put_item(TableName="Users", Item=item)
    client.put_item(TableName="Users", Item=LARGE)
    for _ in range(2):
        assert client.get_item(TableName="Users", Key=key(name))["Item"] == item
        assert client.get_item(TableName="Users", Key=key("large"))["Item"] == LARGE


# -- clients -----------------------------------------------------------------------------------


def test_the_ready_file_names_every_port(cluster: Cluster, ca: str) -> None:
    base = cluster.base_port
    assert dax(cluster) == f"daxs://127.0.0.1:{base + 1111}"
    assert cluster.entry["discovery"][0]["grpc_tls"] == f"127.0.0.1:{base + 1112}"
    assert https(cluster, 1) == f"https://127.0.0.1:{base + 1142}"
    assert grpc_tls(cluster) == f"127.0.0.1:{base + 1162}"
    assert Path(ca).read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")


def test_official_python_dax_client(
    cluster: Cluster, ca: str, wrong_ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca)
    session = botocore.session.get_session()
    with AmazonDaxClient(session, endpoint_url=dax(cluster), **CREDENTIALS) as client:
        exercised(client, "python")
    monkeypatch.setenv("SSL_CERT_FILE", wrong_ca)
    with (
        pytest.raises(Exception, match=r"CERTIFICATE_VERIFY_FAILED|[Cc]ertificate|endpoints"),
        AmazonDaxClient(session, endpoint_url=dax(cluster), **CREDENTIALS) as client,
    ):
        client.get_item(TableName="Users", Key=key("python"))


@pytest.mark.parametrize("kind", ["v3", "v2", "v3-http"])
def test_official_javascript_clients(
    cluster: Cluster, ca: str, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", ca)
    endpoint = https(cluster) if kind == "v3-http" else dax(cluster)
    with JsClient(kind, endpoint) as client:
        item = {**key(kind), "text": {"S": "x" * 50_000}}
        client.call("putItem", {"TableName": "Users", "Item": item})
        found = client.call("getItem", {"TableName": "Users", "Key": key(kind)})
        assert found["Item"] == item


def test_boto3_by_https(cluster: Cluster, ca: str, wrong_ca: str) -> None:
    client = boto3_client(https(cluster), ca)
    exercised(client, "boto3")

    def cached() -> bool:
        found = client.get_item(TableName="Users", Key=key("boto3"))
        return bool(found["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"] == "hit")

    wait_until(cached, "the node has a read lease and answers from its cache")
    assert "Users" in client.list_tables()["TableNames"]
    client.close()
    for verify in (wrong_ca, None):
        wrong = boto3_client(https(cluster), verify)
        with pytest.raises(botocore.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            wrong.list_tables()
        wrong.close()


@pytest.mark.soak
def test_sts_by_https_says_that_nobody_has_to_sign(cluster: Cluster, ca: str) -> None:
    for name in ("https", "http"):
        sts = botocore.session.get_session().create_client(
            "sts", endpoint_url=cluster.entry["discovery"][0][name], verify=ca, **CREDENTIALS
        )
        for call in (sts.get_session_token, sts.get_caller_identity):
            with pytest.raises(botocore.exceptions.ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == "RegionDisabledException"
            assert "PACELINE_ACCESS__AUTHENTICATION" in str(refused.value)


def test_aws_cli_by_https(cluster: Cluster, ca: str) -> None:
    done = subprocess.run(
        [
            *(tool("aws"), "dynamodb", "get-item", "--endpoint-url", https(cluster)),
            *("--ca-bundle", ca, "--table-name", "Users", "--key", '{"id": {"S": "ada"}}'),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ada Lovelace" in done.stdout


@pytest.mark.parametrize("way", ["dax", "grpc", "name"])
def test_the_sdk(cluster: Cluster, ca: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {
        "dax": dax(cluster),
        "grpc": f"paceline+tls://{cluster.entry['discovery'][0]['grpc_tls']}",
        "name": f"daxs://localhost:{port_of(dax(cluster))}",
    }[way]
    monkeypatch.setenv("AWS_CA_BUNDLE", ca)
    with paceline.Client(endpoint) as client:
        exercised(client, f"sdk {way}")
        ports = {node.port for node in client._core.router.roster.nodes}  # type: ignore[union-attr]
        assert ports == {port_of(node["dax_tls"]) for node in cluster.entry["nodes"]}
    monkeypatch.delenv("AWS_CA_BUNDLE")
    asyncio.run(many_at_a_time(endpoint, ca))


async def many_at_a_time(endpoint: str, ca: str) -> None:
    async with paceline.AsyncClient(endpoint, verify=ca) as client:
        await client.put_item(TableName="Users", Item=LARGE)
        asked = [client.get_item(TableName="Users", Key=key("ada")) for _ in range(40)]
        asked += [client.get_item(TableName="Users", Key=key("large")) for _ in range(4)]
        found = await asyncio.gather(*asked)
        assert {one["Item"]["id"]["S"] for one in found} == {"ada", "large"}


def test_the_sdk_with_another_authority(cluster: Cluster, wrong_ca: str) -> None:
    both = f"{dax(cluster)},paceline+tls://{cluster.entry['discovery'][0]['grpc_tls']}"
    with (
        paceline.Client(both, verify=wrong_ca) as client,
        pytest.raises(ClusterUnavailable, match=r"not to be trusted|VERIFY_FAILED"),
    ):
        client.with_options(deadline_s=0.3).get_item(TableName="Users", Key=key("ada"))
    with paceline.Client(dax(cluster), verify=False) as client:
        assert "Item" in client.get_item(TableName="Users", Key=key("ada"))
    with pytest.raises(ConfigError, match="do not mix"):
        paceline.Client(f"{dax(cluster)},{cluster.dax}")


async def test_grpc(cluster: Cluster, ca: str, wrong_ca: str) -> None:
    trusted, others = (
        grpc.ssl_channel_credentials(Path(file).read_bytes())  # noqa: ASYNC240
        for file in (ca, wrong_ca)
    )
    async with grpc.aio.secure_channel(grpc_tls(cluster), trusted) as channel:
        data: Any = data_pb2_grpc.DataStub(channel)
        asked = data_pb2.GetItemRequest(table_name="Users")
        asked.key["id"].s = "ada"
        found = await data.GetItem(asked, timeout=CALL_S)
        assert found.item.attributes["name"].s == "Ada Lovelace"
        health: Any = health_pb2_grpc.HealthStub(channel)
        reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        replication: Any = replication_pb2_grpc.ReplicationStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await replication.Peek(replication_pb2.PeekRequest(), timeout=CALL_S)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with grpc.aio.secure_channel(grpc_tls(cluster), others) as channel:
        data = data_pb2_grpc.DataStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await data.GetItem(asked, timeout=CALL_S)


# -- what goes wrong ---------------------------------------------------------------------------


def test_plain_clients_on_ports_with_tls_are_let_go(cluster: Cluster) -> None:
    node = cluster.entry["nodes"][0]
    for address, said in (
        (dax(cluster), PREAMBLE + ENDPOINTS),
        (node.get("dax_tls"), PREAMBLE + ENDPOINTS),
        (node.get("https"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", port_of(address)), CALL_S) as connection:
            connection.sendall(said)
            assert ended(connection)
    client = boto3_client(https(cluster).replace("https", "http"))
    with pytest.raises((botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)):
        client.list_tables()
    client.close()
    # Those who speak TLS go on being served.
    context = ssl.create_default_context(cafile=cluster.entry["ca"])
    assert serial(cluster, "https", context) == serial(cluster, "dax_tls", context)


def test_no_stranger_writes_into_the_log(cluster: Cluster) -> None:
    """gRPC says what it thinks of a handshake on stderr, unless told not to."""
    address = ("127.0.0.1", port_of(cluster.entry["nodes"][0].get("grpc_tls")))
    for _ in range(20):
        with socket.create_connection(address, CALL_S) as connection:
            connection.sendall(b"no handshake" * 100)
            assert ended(connection)
    assert "andshake" not in cluster.logs()


def test_certificates_change_without_a_restart(cluster: Cluster, ca: str) -> None:
    directory = Path(ca).parent
    before = (directory / "cert.pem").read_bytes()
    authority = Authority.load(Path(ca).read_bytes(), (directory / "ca.key").read_bytes())
    context = ssl.create_default_context(cafile=ca)
    with paceline.Client(dax(cluster), verify=ca) as client:
        client.get_item(TableName="Users", Key=key("ada"))
        # Only half of the pair: everybody goes on with the one before.
        (directory / "cert.pem").write_bytes(authority.issue(["127.0.0.1"])[0])
        wait_until(lambda: metric(cluster, "refused") == 1.0, "the half pair is refused")
        old = x509.load_pem_x509_certificate(before)
        assert serial(cluster, "https", context) == old.serial_number

        write_pair(directory, authority, "localhost", "127.0.0.1", "::1")
        new = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
        for kind in ("https", "dax_tls"):
            wait_until(
                lambda kind=kind: serial(cluster, kind, context) == new.serial_number,  # type: ignore[misc]
                f"the new certificate is shown on {kind}",
            )
        pem = ssl.get_server_certificate(("127.0.0.1", port_of(grpc_tls(cluster))))
        assert x509.load_pem_x509_certificate(pem.encode()).serial_number == new.serial_number
        assert metric(cluster, "refused") == 0.0
        expires = metric(cluster, "not_after_timestamp_seconds")
        assert expires == new.not_valid_after_utc.timestamp()
        # The connections that stood still stand, and new ones are made.
        client.get_item(TableName="Users", Key=key("ada"))
    with paceline.Client(dax(cluster), verify=ca) as client:
        client.get_item(TableName="Users", Key=key("ada"))


def serial(cluster: Cluster, kind: str, trusted: ssl.SSLContext) -> int:
    port = port_of(cluster.entry["nodes"][0][kind])  # type: ignore[literal-required]
    with (
        socket.create_connection(("127.0.0.1", port), CALL_S) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def metric(cluster: Cluster, name: str) -> float:
    _, body = http_request("GET", f"{cluster.entry['nodes'][0]['admin']}/metrics")
    line = next(
        line
        for line in body.decode().splitlines()
        if line.startswith(f"paceline_tls_certificate_{name} ")
    )
    return float(line.split()[1])


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it in time; what it sends before, an alert maybe, is dropped."""
    connection.settimeout(CALL_S)
    try:
        while connection.recv(1024):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def test_who_begins_no_handshake_is_let_go(idle: list[socket.socket]) -> None:
    assert [ended(connection) for connection in idle] == [True] * len(idle)


@pytest.mark.parametrize("kind", ["dax", "http", "grpc"])
def test_the_doctor_finds_nothing_wrong(cluster: Cluster, ca: str, kind: str) -> None:
    url = {
        "dax": dax(cluster),
        "http": https(cluster),
        "grpc": f"paceline+tls://{grpc_tls(cluster)}",
    }
    admin = str(cluster.entry["nodes"][0]["admin"])
    status, told = doctor(url[kind], "--ca", ca, "--table", "Users", "--admin", admin)
    assert status == 0, told
    levels = {finding["check"]: finding["level"] for finding in told["findings"]}
    for check in ("name", "port", "TLS", "certificate", "permission", "versions", "cluster"):
        assert levels[check] == "ok", told
