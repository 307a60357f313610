"""The names in ``paceline`` that the documentation tells applications to use can be imported."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import paceline
import paceline.client

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"\bpaceline(?:\.[a-z_]+)*\.[A-Z]\w+|\bpaceline\.[a-z_]+(?=\()")
PAGES = ("README.md", "docs/clients.md", "docs/testing-your-app.md")
DOCUMENTED = sorted({name for page in PAGES for name in NAME.findall((ROOT / page).read_text())})


def test_there_are_such_names() -> None:
    assert {"paceline.Client", "paceline.resource", "paceline.client.settings.Settings"} <= set(
        DOCUMENTED
    )


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_name_can_be_imported(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(import_module(module), attribute))


@pytest.mark.parametrize("name", paceline.client.__all__)
def test_both_packages_have_the_same_three(name: str) -> None:
    assert paceline.__all__ == paceline.client.__all__
    found = getattr(paceline, name)
    assert getattr(paceline.client, name) is found
    assert not inspect.ismodule(found)
