"""``make sbom`` lists what is shipped: every locked package, with its version and hashes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / ".tools" / "audit"
LOCKS = {
    "paceline-server": ROOT / "requirements" / "server.txt",
    "paceline-embedded": ROOT / "local" / "src" / "paceline_local" / "embedded_requirements.txt",
}


def locked(path: Path) -> dict[tuple[str, str], set[str]]:
    """Name and version of each, and the SHA-256 of its files."""
    found: dict[tuple[str, str], set[str]] = {}
    pins = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8"))
    for pin in pins:
        named = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", pin)
        if named is not None:
            hashes = set(re.findall(r"sha256:([0-9a-f]{64})", pin))
            found.setdefault((named[1], named[2]), set()).update(hashes)
    return found


def listed(document: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for component in document["components"]:
        hashes = {
            one["content"]
            for reference in component.get("externalReferences", ())
            for one in reference.get("hashes", ())
        }
        found.setdefault((component["name"], component["version"]), set()).update(hashes)
    return found


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not (AUDIT / ".installed").exists(), reason="CycloneDX is not installed: make tools"
)
def test_all_that_is_locked_is_listed_with_its_hashes() -> None:
    subprocess.run(["make", "sbom"], cwd=ROOT, check=True, timeout=300, capture_output=True)
    for name, lock in LOCKS.items():
        text = (ROOT / "dist" / f"{name}.cdx.json").read_text(encoding="utf-8")
        document = json.loads(text)
        assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
        wanted = locked(lock)
        assert wanted
        assert listed(document) == wanted


@pytest.mark.parametrize("lock", LOCKS.values(), ids=list(LOCKS))
def test_everything_that_is_shipped_is_locked_by_hash(lock: Path) -> None:
    """The embedded DynamoDB, too: what is installed for it is what was tried."""
    pins = locked(lock)
    assert len(pins) > 10
    assert [pin for pin, hashes in pins.items() if not hashes] == []
