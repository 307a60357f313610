"""What a program's start is spared, and that nothing of it stays."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from paceline_server.imports import spared


def test_everything_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/of/the/user")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "rich", sys)
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "one")
    with pytest.raises(ImportError), spared():  # noqa: PT012 - of the import
        assert os.environ["SSL_CERT_FILE"] == os.devnull
        assert not gc.isenabled()
        raise ImportError
    assert os.environ["SSL_CERT_FILE"] == "/of/the/user"
    assert "SSL_CERT_DIR" not in os.environ
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "one"
    assert gc.isenabled()


NEVER = {
    "node": ("boto3", "paceline.client", "paceline_local", "yaml", "node.backend.providers"),
    "discovery": ("botocore", "aiobotocore", "node", "paceline_local"),
}
"""What is not loaded at the start, by program."""

STARTED = """
import sys
from paceline_server.imports import spared
with spared():
    import {program}.main
    from cluster.service.configuration import load_settings
    from cluster.settings import DiscoverySettings, NodeSettings
load_settings(NodeSettings)
load_settings(DiscoverySettings)
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as aiohttps
from pydantic.plugin import _loader
print(aiohttps.verify_mode.name, aiohttps.get_ca_certs(), _loader._plugins)
print(sorted(name for name in {never!r} if sys.modules.get(name)))
"""


@pytest.mark.parametrize("program", NEVER)
def test_a_program_loads_only_what_it_needs_to_start(program: str) -> None:
    """aiohttp's own way to trust somebody, by which nothing goes, trusts nobody; and nobody looked
    for pydantic's plugins."""
    code = STARTED.format(program=program, never=("rich", *NEVER[program]))
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.splitlines() == ["CERT_REQUIRED [] None", "[]"]
