"""Projects items: by ordinal, as DAX sends them, and whole, as DynamoDB returns them.

Values are never copied. Results share them with the item, which must not be changed afterwards.
Only maps and lists that a path goes *through* are built anew (docs/dax-protocol.md section 7.1).
"""

from collections.abc import Mapping, Sequence

from paceline.dax.expressions.tree import Path
from paceline.errors import ProtocolError
from paceline.types import AttributeValue, Item


def project(item: Item, paths: Sequence[Path]) -> dict[int, AttributeValue]:
    """Returns ordinal -> the value at that path, for the paths that exist in ``item``."""
    found: dict[int, AttributeValue] = {}
    for ordinal, path in enumerate(paths):
        value = _value_at(item, path)
        if value is not None:
            found[ordinal] = value
    return found


def _value_at(item: Item, path: Path) -> AttributeValue | None:
    value: AttributeValue | None = {"M": item}
    for element in path:
        assert value is not None
        if isinstance(element, str):
            value = value.get("M", {}).get(element)
        else:
            elements = value.get("L", ())
            value = elements[element] if element < len(elements) else None
        if value is None:
            return None
    return value


def unproject(ordinals: Mapping[int, AttributeValue], paths: Sequence[Path]) -> Item:
    """Returns the item that DynamoDB would return: maps are merged, list elements are in the order
    of their indexes, without gaps.

    Raises ``ProtocolError`` for an ordinal that has no path, or when two paths disagree about a
    place.
    """
    placed: list[tuple[Path, AttributeValue]] = []
    for ordinal, value in ordinals.items():
        if not 0 <= ordinal < len(paths):
            raise ProtocolError(f"a projected item has ordinal {ordinal} of {len(paths)} paths")
        placed.append((paths[ordinal], value))
    placed.sort(key=lambda entry: [(isinstance(e, str), e) for e in entry[0]])

    item: Item = {}
    built: dict[Path, AttributeValue] = {(): {"M": item}}
    whole: set[Path] = set()
    for path, value in placed:
        if any(path[:length] in whole for length in range(1, len(path) + 1)):
            continue  # lies within a value that is there already
        whole.add(path)
        for depth in range(1, len(path) + 1):
            here = path[:depth]
            if here not in built:
                last = depth == len(path)
                built[here] = (
                    value if last else {"M": {}} if isinstance(path[depth], str) else {"L": []}
                )
                _attach(built[path[: depth - 1]], path[depth - 1], built[here])
    return item


def _attach(parent: AttributeValue, element: str | int, child: AttributeValue) -> None:
    if isinstance(element, str) and "M" in parent:
        parent["M"][element] = child
    elif isinstance(element, int) and "L" in parent:
        parent["L"].append(child)  # paths come in index order: appending leaves out the gaps
    else:
        raise ProtocolError("a projected item has a list and a map at one place")


def apply_projection(item: Item, paths: Sequence[Path]) -> Item:
    """Returns what DynamoDB returns for ``item`` under a projection of ``paths``."""
    return unproject(project(item, paths), paths)
