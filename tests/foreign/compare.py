"""Outcomes of two runs of one suite, told by JUnit's XML. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

Outcomes = Mapping[str, str]
"""Test to ``passed``, ``failed`` or ``skipped``."""

_OF_ELEMENT = {"failure": "failed", "error": "failed", "skipped": "skipped"}
_WORST_FIRST = ("failed", "skipped", "passed")


def outcomes(report: str) -> dict[str, str]:
    """ValueError: it is no report. A test that is there twice, as by an error of its teardown,
    has the worse outcome."""
    found: dict[str, str] = {}
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError as error:
        raise ValueError(f"not a report in JUnit's form: {error}") from None
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        told = [_OF_ELEMENT[child.tag] for child in case if child.tag in _OF_ELEMENT]
        found[name] = _worst([*told, found.get(name, "passed")])
    return found


def _worst(several: Iterable[str]) -> str:
    return min(several, key=_WORST_FIRST.index)


@dataclass(frozen=True)
class Comparison:
    """Of the runs made straight and of those made through a cluster."""

    straight: Outcomes
    through: Outcomes
    only_straight: tuple[str, ...]
    """Tests that passed in every run straight, and in none through the cluster."""
    unsure: tuple[str, ...]
    """Tests that passed in every run straight, but in some through the cluster only."""

    @property
    def passed(self) -> tuple[int, int]:
        return _passed(self.straight), _passed(self.through)


def compared(straight: Sequence[Outcomes], through: Sequence[Outcomes]) -> Comparison:
    """Each list has the outcomes of one run or more of the same suite."""
    names = dict.fromkeys(name for run in straight for name in run)
    steady = [name for name in names if all(run.get(name) == "passed" for run in straight)]
    count = {name: sum(run.get(name) == "passed" for run in through) for name in steady}
    return Comparison(
        straight[0],
        through[0],
        tuple(name for name in steady if count[name] == 0),
        tuple(name for name in steady if 0 < count[name] < len(through)),
    )


def _passed(run: Outcomes) -> int:
    return Counter(run.values())["passed"]
