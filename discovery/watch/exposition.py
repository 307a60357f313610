"""Prometheus' text, as far as nodes write it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

SAMPLES_MAX = 50_000
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)")
_TYPE = re.compile(r"# TYPE ([a-zA-Z_:][\w:]*) (?:counter|gauge)$")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}

Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]
"""By name: labels and value of each; none where a node has the metric, and nothing under it yet."""


def parsed(text: str) -> Samples:
    """ValueError for what is no such text, or has more than ``SAMPLES_MAX`` samples."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    count = 0
    for line in text.split("\n"):
        if not line or line[0] == "#":
            told = _TYPE.match(line)
            if told is not None:
                found.setdefault(told[1], [])
            continue
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            raise ValueError(f"no sample: {line[:80]!r}")
        count += 1
        if count > SAMPLES_MAX:
            raise ValueError(f"more than {SAMPLES_MAX} samples")
        name, labels, value = sample.groups()
        found.setdefault(name, []).append((_labels(labels) if labels else {}, float(value)))
    return found


def _labels(text: str) -> Mapping[str, str]:
    found = {}
    at = 0
    while at < len(text):
        label = _LABEL.match(text, at)
        if label is None:
            raise ValueError(f"no labels: {text[:80]!r}")
        found[label[1]] = _ESCAPE.sub(lambda one: _ESCAPED.get(one[1], one[0]), label[2])
        at = label.end()
    return found
