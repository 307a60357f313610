"""Certificates that ``up --tls`` makes: kept, renewed, private, and of use to every TLS library."""

import os
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from cluster.settings import DiscoverySettings, NodeSettings
from cluster.transport.tls import ServerCertificate
from paceline.errors import ConfigError
from paceline_local import certificates
from paceline_local.certificates import TlsFiles, development_files
from paceline_local.cli.up import UpOptions, certificate_of
from paceline_local.environment import discovery_environment, node_environment
from paceline_local.plan import make_plan
from paceline_local.ready_file import entry_of


def test_they_are_made_once_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    files = development_files(tmp_path / "tls")
    before = {file: file.read_bytes() for file in (tmp_path / "tls").iterdir()}
    assert {file.name for file in before} == {"ca.pem", "ca.key", "cert.pem", "key.pem"}
    assert development_files(tmp_path / "tls") == files
    assert {file: file.read_bytes() for file in before} == before
    for file in before:
        private = file.suffix == ".key" or file.name == "key.pem"
        assert file.stat().st_mode & 0o777 == (0o600 if private else 0o644 & ~_umask())
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_authority_stays_when_a_certificate_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = development_files(tmp_path)
    assert files.ca is not None
    ca, old = files.ca.read_bytes(), files.cert.read_bytes()
    certificate = x509.load_pem_x509_certificate(old)
    soon = certificate.not_valid_after_utc - timedelta(days=certificates.RENEW_DAYS - 1)
    monkeypatch.setattr(certificates, "wall_time", soon.timestamp)
    assert development_files(tmp_path) == files
    assert files.ca.read_bytes() == ca
    renewed = x509.load_pem_x509_certificate(files.cert.read_bytes())
    assert renewed.not_valid_after_utc > certificate.not_valid_after_utc
    ServerCertificate(files.cert, files.key)

    files.cert.write_text("spoilt")
    development_files(tmp_path)
    ServerCertificate(files.cert, files.key)
    (tmp_path / "ca.key").write_text("spoilt")
    with pytest.raises(ConfigError, match="remove the directory tls"):
        development_files(tmp_path)


def test_they_satisfy_the_strictest_checks(tmp_path: Path) -> None:
    """Python from 3.13 on checks so by default."""
    files = development_files(tmp_path)
    client = ssl.create_default_context(cafile=files.ca)
    client.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    server = ServerCertificate(files.cert, files.key).context()
    for name in certificates.NAMES:
        assert _handshake(client, server, name) is not None
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid"):
        _handshake(client, server, "example.com")


def test_the_authority_cannot_vouch_for_other_hosts(tmp_path: Path) -> None:
    authority = certificates.Authority.new()
    for name, content in zip(("c.pem", "k.pem"), authority.issue(["example.com"]), strict=True):
        (tmp_path / name).write_bytes(content)
    server = ServerCertificate(tmp_path / "c.pem", tmp_path / "k.pem").context()
    client = ssl.create_default_context(cadata=authority.pem.decode())
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        _handshake(client, server, "example.com")


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> Any:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return here.getpeercert()


def test_programs_are_told_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(nodes=1, tls=True)
    tls = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    node = node_environment(
        plan,
        plan.nodes[0],
        data_dir=tmp_path,
        secret_file=tmp_path / "secret",
        principals_key_file=tmp_path / "principals-key",
        tls=tls,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in node.items():
            patch.setenv(name, value)
        settings = NodeSettings()
    assert [(each.name, each.bind, each.tls) for each in settings.listeners] == [
        ("default", "127.0.0.1:8121", False),
        ("tls", "127.0.0.1:9121", True),
    ]
    assert settings.https_bind == "127.0.0.1:9141"
    assert settings.grpc_tls_bind == "127.0.0.1:9161"
    assert (settings.tls.cert_file, settings.tls.key_file) == (tls.cert, tls.key)
    told = discovery_environment(
        plan, secret_file=tmp_path / "secret", principals_key_file=tmp_path / "k", tls=tls
    )
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    discovery = DiscoverySettings()
    assert [each.bind for each in discovery.listeners if each.tls] == ["127.0.0.1:9111"]
    assert discovery.grpc_tls_bind == "127.0.0.1:9112"

    entry = entry_of(plan, {"node-1": 1, "discovery": 2}, tls)
    assert entry["ca"] == str(tls.ca)
    assert entry["dax_tls"] == "daxs://127.0.0.1:9111"
    assert entry["discovery"][0]["grpc_tls"] == "127.0.0.1:9112"
    assert entry["nodes"][0]["dax_tls"] == "daxs://127.0.0.1:9121"
    assert entry["nodes"][0]["https"] == "https://127.0.0.1:9141"
    assert entry["nodes"][0]["grpc_tls"] == "127.0.0.1:9161"
    given = TlsFiles(tls.cert, tls.key)
    assert entry_of(plan, {"node-1": 1, "discovery": 2}, given)["ca"] is None


def test_a_certificate_of_ones_own(tmp_path: Path) -> None:
    assert certificate_of(UpOptions(tls=True)) is None
    with pytest.raises(ConfigError, match="name that with --tls-cert"):
        certificate_of(UpOptions(tls_key=tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match="is no file"):
        certificate_of(UpOptions(tls_cert=tmp_path / "cert.pem"))
    files = development_files(tmp_path)
    found = certificate_of(UpOptions(tls_cert=files.cert, tls_key=files.key))
    assert found == TlsFiles(files.cert, files.key)
