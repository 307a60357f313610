"""The files that containers share: made once, private to those that need them, of use together."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from cluster.service.admin_token import read_token_of
from cluster.service.principals_file import PrincipalsFile
from cluster.transport.tls import ServerCertificate
from paceline.errors import ConfigError
from paceline_local.shared_files import Directories, create_once, prepare

NAMES = ("localhost", "127.0.0.1", "node-1")


def directories(root: Path) -> Directories:
    return Directories(root / "programs", root / "authority", root / "clients")


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_they_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    where = directories(tmp_path)
    prepare(where, NAMES, "eu-west-1")
    before = content(tmp_path)
    prepare(where, NAMES, "eu-west-1")
    assert content(tmp_path) == before
    assert {name for name in before if name.startswith("programs/")} == {
        f"programs/{name}"
        for name in ("cluster-secret", "principals-key", "principals.yaml", "cert.pem", "key.pem")
    }
    assert before["programs/cluster-secret"] != before["programs/principals-key"]
    ServerCertificate(where.programs / "cert.pem", where.programs / "key.pem")
    ca = x509.load_pem_x509_certificate(before["clients/ca.pem"])
    shown = x509.load_pem_x509_certificate(before["programs/cert.pem"])
    shown.verify_directly_issued_by(ca)

    exports = dict(
        pair.split("=", 1) for pair in before["clients/env"].decode().split() if "=" in pair
    )
    key = PrincipalsFile(where.programs / "principals.yaml").key(exports["AWS_ACCESS_KEY_ID"])
    assert key is not None
    assert key.secret == exports["AWS_SECRET_ACCESS_KEY"]
    assert exports["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert key.secret.encode() in before["clients/credentials"]


def test_who_scrapes_has_the_token_with_which_nodes_let_read(tmp_path: Path) -> None:
    where = replace(directories(tmp_path), monitoring=tmp_path / "monitoring")
    prepare(where, NAMES, "us-east-1")
    file = tmp_path / "monitoring" / "read-token"
    secret = (where.programs / "cluster-secret").read_text().strip()
    assert file.read_text().strip() == read_token_of(secret)
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert list((tmp_path / "monitoring").iterdir()) == [file]


def test_secrets_are_for_their_owner_and_the_authoritys_key_is_nowhere_else(tmp_path: Path) -> None:
    where = directories(tmp_path)
    prepare(where, NAMES, "us-east-1")
    for file in where.programs.iterdir():
        expected = 0o444 if file.name == "cert.pem" else 0o400
        assert stat.S_IMODE(file.stat().st_mode) == expected, file
    assert stat.S_IMODE(where.authority.stat().st_mode) == 0o700
    found = content(tmp_path)
    key = found.pop("authority/ca.key")
    assert not any(key.strip() in data for data in found.values())
    assert not any(b"PRIVATE KEY" in d for name, d in found.items() if name.startswith("clients/"))


def test_other_names_and_another_region_are_taken_up_and_the_key_stays(tmp_path: Path) -> None:
    where = directories(tmp_path)
    prepare(where, NAMES, "us-east-1")
    before = content(tmp_path)
    prepare(where, (*NAMES, "cache.example.com"), "eu-west-1")
    after = content(tmp_path)
    shown = x509.load_pem_x509_certificate(after["programs/cert.pem"])
    shown.verify_directly_issued_by(x509.load_pem_x509_certificate(after["clients/ca.pem"]))
    named = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "cache.example.com" in named.get_values_for_type(x509.DNSName)
    assert b"AWS_REGION=eu-west-1" in after["clients/env"]
    for name in ("programs/cluster-secret", "programs/principals.yaml", "clients/credentials"):
        assert after[name] == before[name]


def test_what_is_made_once_appears_whole_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "volume" / "secret"
    assert create_once(file, "first")
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert not create_once(file, "second")
    assert file.read_text() == "first"
    assert os.listdir(file.parent) == ["secret"]


def test_a_volume_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "programs").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*cluster-secret"):
        prepare(directories(tmp_path), NAMES, "us-east-1")
    (tmp_path / "programs").unlink()
    (tmp_path / "clients").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*clients"):
        prepare(directories(tmp_path), NAMES, "us-east-1")


def test_a_file_of_principals_that_somebody_spoilt_is_told(tmp_path: Path) -> None:
    where = directories(tmp_path)
    prepare(where, NAMES, "us-east-1")
    file = where.programs / "principals.yaml"
    file.chmod(0o600)
    file.write_text("principals: []")
    with pytest.raises(ConfigError, match="not as it was made"):
        prepare(where, NAMES, "us-east-1")
