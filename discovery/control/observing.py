"""What happened, by comparing what is kept with the roster. Pure.

Every discovery process looks, and the log lets one of them write it down: who is late has not seen
the latest revision, looks again, and finds nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from discovery.control.records import Observed, SeenNode
from discovery.control.world import Done, World, told


def look(world: World) -> Done:
    """``records`` None: nothing has happened since somebody last looked."""
    before, view = world.records.observed, world.view
    if view.epoch < before.epoch or view.primary is None:
        return told({})
    nodes = {
        member.id: SeenNode(
            before.nodes[member.id].since if member.id in before.nodes else round(world.now, 3),
            member.incarnation,
        )
        for member in view.members
    }
    after = Observed(view.epoch, view.primary, nodes)
    if (after.primary, after.nodes) == (before.primary, before.nodes):
        return told({})
    events = tuple(world.happened(message) for message in _messages(before, after))
    return Done(lambda _: {}, replace(world.records, observed=after), events)


def _messages(before: Observed, after: Observed) -> Iterator[str]:
    if not before.epoch:
        yield f"The cluster was created with {len(after.nodes)} nodes."
        return
    for node, seen in sorted(after.nodes.items()):
        known = before.nodes.get(node)
        if known is None:
            yield f"The node {node} was added."
        elif known.incarnation != seen.incarnation:
            yield f"The node {node} was restarted."
    for node in sorted(before.nodes.keys() - after.nodes.keys()):
        yield f"The node {node} was removed."
    if after.primary != before.primary:
        yield f"Failover from {before.primary} to {after.primary} in epoch {after.epoch}."
