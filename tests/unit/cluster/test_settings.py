"""docs/configuration.md names every setting, with its default."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from cluster.settings import (
    AccessSettings,
    CacheSettings,
    DiscoverySettings,
    NodeSettings,
    TableSettings,
)

DOC = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
ROWS = dict(re.findall(r"^\| `(PACELINE_\w+)` \| ([^|]*?) ?\|", DOC, re.MULTILINE))


def names(model: type[BaseModel], prefix: str = "PACELINE_") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += names(kind, f"{prefix}{name.upper()}__")
        else:
            found.append(prefix + name.upper())
    return found


@pytest.mark.parametrize("program", [NodeSettings, DiscoverySettings])
def test_every_setting_is_documented(program: type[BaseModel]) -> None:
    assert [name for name in names(program) if name not in ROWS] == []


def test_nothing_else_is_documented() -> None:
    assert set(ROWS) == {*names(NodeSettings), *names(DiscoverySettings)}


def test_the_defaults_are_those_of_a_node() -> None:
    def default(name: str) -> object:
        value: object = NodeSettings()
        for part in name.removeprefix("PACELINE_").lower().split("__"):
            value = getattr(value, part)
        return value

    told = {
        name: text.strip("`")
        for name, text in ROWS.items()
        if text.startswith("`") and name in names(NodeSettings)
    }
    assert len(told) > 20
    for name, text in told.items():
        value = default(name)
        if text in ("127.0.0.1:8112", "127.0.0.1:8113"):
            continue  # discovery's, under the same name
        shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
        if isinstance(value, int | float) and shown is None:
            assert float(text) == value, name
        else:
            assert text == (shown or str(value)), name


def test_a_table_overrides_only_what_it_names() -> None:
    settings = CacheSettings(
        follow_streams=True,
        tables={
            "strong": TableSettings(consistent_reads="cache"),
            "alone": TableSettings(follow_streams=False),
        },
    )
    consistent = settings.per_table(lambda s: s.consistent_reads)
    assert [consistent.of(t) for t in ("strong", "alone", "other")] == [
        "cache",
        "dynamodb",
        "dynamodb",
    ]
    following = settings.per_table(lambda s: s.follow_streams)
    assert [following.of(t) for t in ("strong", "alone", "other")] == [True, False, True]


def test_callers_own_credentials_need_callers_who_sign() -> None:
    with pytest.raises(ValueError, match="ACCESS__AUTHENTICATION=sigv4"):
        AccessSettings(upstream_credentials="caller")
    AccessSettings(upstream_credentials="caller", authentication="sigv4")
