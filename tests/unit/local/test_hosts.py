"""Lines for a file of hosts, and the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline.errors import ConfigError
from paceline_local.cli import hosts as command
from paceline_local.hosts import BEGIN, END, Reached, lines_for, names_in, reached_of, with_block

DOMAIN = "dax-clusters.us-east-1.amazonaws.com"
ARN = "arn:aws:dax:us-east-1:000000000000:cache/"
CLUSTERS = (
    Reached("orders", ARN + "orders", "127.0.0.2", ("127.0.0.2", "10.0.0.9")),
    Reached("paceline", ARN + "paceline", "127.0.0.1", ()),
)


def test_names_in_programs() -> None:
    text = f"""
        const a = 'dax://Orders.abc123.{DOMAIN}:8111'; // and again dax://orders.abc123.{DOMAIN}
        endpoints=["orders.x1.clustercfg.dax.use1.cache.amazonaws.com:8111"]
        orders-b.abc123.nodes.{DOMAIN}, s3.us-east-1.amazonaws.com, orders.abc123.{DOMAIN}.evil.com
    """
    assert names_in(text)[:3] == [
        f"orders.abc123.{DOMAIN}",
        "orders.x1.clustercfg.dax.use1.cache.amazonaws.com",
        f"orders-b.abc123.nodes.{DOMAIN}",
    ]
    assert len(names_in(text)) == 3
    older = "my-dax-cluster.abc123.clustercfg.dax.us-east-1.amazonaws.com"
    assert names_in(f"'{older}:8111'") == [older]
    with pytest.raises(ConfigError):
        names_in(" ".join(f"c.a{n}.{DOMAIN}" for n in range(1001)))


def test_names_lead_to_their_clusters() -> None:
    names = [f"orders.abc123.{DOMAIN}", f"orders-b.abc123.nodes.{DOMAIN}", f"my-dax.a1.{DOMAIN}"]
    lines = lines_for(CLUSTERS, names, "paceline")
    assert lines[-3:] == [
        f"127.0.0.2\t{names[0]}",
        f"10.0.0.9\t{names[1]}",
        f"127.0.0.1\t{names[2]}",
    ]
    addresses = [line.partition("\t")[0] for line in lines[:4]]
    assert addresses == ["127.0.0.2", "127.0.0.2", "10.0.0.9", "127.0.0.1"]
    assert lines_for(CLUSTERS, [], None) == lines[:4]
    for to in (None, "none"):
        with pytest.raises(ConfigError, match="there is no cluster"):
            lines_for(CLUSTERS, names, to)


def test_a_cluster_without_an_address_is_left_out() -> None:
    told = {"ClusterName": "orders", "ClusterArn": ARN, "Nodes": [{"NodeId": "node-1"}]}
    assert reached_of(told) is None
    at = {"Address": "127.0.0.2", "Port": 8111}
    found = reached_of({**told, "ClusterDiscoveryEndpoint": at})
    assert found is not None
    assert found.nodes == ("127.0.0.2",)


def test_lines_stand_between_marks_once() -> None:
    text = "127.0.0.1 localhost\n"
    once = with_block(text, ["a b"])
    assert once == f"{text}{BEGIN}\na b\n{END}\n"
    assert with_block(once, ["a b"]) == once
    assert with_block(once + "after\n", ["c d"]) == f"{text}{BEGIN}\nc d\n{END}\nafter\n"
    assert with_block(once, []) == text
    for broken in (BEGIN, END, f"{END}\n{BEGIN}", f"{once}{once}"):
        with pytest.raises(ConfigError, match="mend it"):
            with_block(broken, ["a b"])


def test_a_file_keeps_its_mode_and_what_else_it_has(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n")
    file.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(file)
    command._write(link, "new\n")
    assert file.read_text() == "new\n"
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o644
    assert sorted(one.name for one in tmp_path.iterdir()) == ["hosts", "link"]
