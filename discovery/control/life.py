"""The life of a further cluster: what becomes of one that was asked for. Pure.

    creating   the launcher was asked to start it, or to start it again
    running    it was there with all of its nodes; whether it is now, the roster says
    failed     it could not be started, and nothing of it runs; it can be deleted
    deleting   the launcher was asked to end it; then there is no record of it any more

Every discovery process looks, and the log lets one of them write down, and have done, what has
become of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cluster.roster.endpoints import Health
from discovery.control.addressing import changed, decided_inside
from discovery.control.creating import start_of
from discovery.control.observing import look
from discovery.control.records import Event, Further, Records
from discovery.control.world import UNSEEN, ClusterAct, Done, Listed, Seen, World, told

LOST_S: Final = 15.0
"""What the launcher was asked for so long ago, and tells nothing of, it was not asked for after
all: who was to ask it has ended meanwhile, or it has itself."""


def look_at(world: World, name: str) -> Done:
    """``records`` None: nothing has happened to it since somebody last looked."""
    further = world.records.further.get(name)
    if further is None:
        return told({})
    known = world.listed
    found = None if known is None else known.get(name)
    mine = found if found is not None and found.id == further.id else None
    is_lost = known is not None and mine is None and world.now - further.since > LOST_S
    if further.state == "failed":
        return _failed(world, name, further, mine)
    if further.state == "creating":
        return _creating(world, name, further, mine, is_lost)
    if further.state == "deleting":
        return _deleting(world, name, further, mine, known is not None)
    if is_lost:
        again = replace(further, state="creating", since=round(world.now, 3), site=None)
        return _put(world, name, again, "The cluster does not run, and is started again.", True)
    if mine is not None and mine.site is not None and mine.site != further.site:
        return _put(world, name, replace(further, site=mine.site))
    return _running(world, name)


def ended(world: World, act: ClusterAct, problem: str) -> Done:
    """What the launcher has done, or why it was not. What it has started is seen otherwise."""
    further = world.records.further.get(act.cluster)
    if further is None or further.id != act.id:
        return told({})
    if act.kind == "start" and problem and further.state == "creating":
        failed = replace(further, state="failed", since=round(world.now, 3), site=None)
        return _put(world, act.cluster, failed, f"The cluster was not started: {problem}")
    if act.kind == "end" and not problem and further.state == "deleting":
        return _gone(world, act.cluster)
    if act.kind == "end" and problem:
        return _put(world, act.cluster, further, f"The cluster was not deleted yet: {problem}")
    return told({})


def _creating(
    world: World, name: str, further: Further, mine: Listed | None, is_lost: bool
) -> Done:
    if is_lost:
        since = round(world.now, 3)
        return _put(world, name, replace(further, since=since, site=None), "", True)
    if mine is not None and mine.site is not None and mine.site != further.site:
        return _put(world, name, replace(further, site=mine.site))
    if further.site is None or not _is_whole(world.seen.get(name, UNSEEN), further):
        return told({})
    runs = replace(further, state="running", since=round(world.now, 3))
    return _running(
        world.with_records(changed(world, name, runs)), name, changed(world, name, runs)
    )


def _failed(world: World, name: str, further: Further, mine: Listed | None) -> Done:
    """Whoever asked the launcher may not have waited for it long enough."""
    if mine is None or mine.site is None:
        return told({})
    again = replace(further, state="creating", since=round(world.now, 3), site=mine.site)
    return _put(world, name, again, "The cluster runs after all.")


def _running(world: World, name: str, before: Records | None = None) -> Done:
    """What has happened to its nodes. ``before``: records that are to be written at any rate."""
    done = decided_inside(world, name, look)
    after = done.records or before
    if after is None:
        return done
    view = world.seen.get(name, UNSEEN).view
    nodes = {member.id: member.zone for member in view.members}
    further = after.further[name]
    further = replace(further, nodes=nodes or further.nodes)
    return replace(done, records=replace(after, further={**after.further, name: further}))


def _deleting(
    world: World, name: str, further: Further, mine: Listed | None, is_told: bool
) -> Done:
    """It is gone once the launcher knows nothing of it; else it is asked once more."""
    if world.now - further.since <= LOST_S or not is_told:
        return told({})
    if mine is None:
        return _gone(world, name)
    again = replace(further, since=round(world.now, 3))
    return replace(_put(world, name, again), acts=(ClusterAct("end", name, further.id),))


def _is_whole(seen: Seen, further: Further) -> bool:
    """All of its nodes are there, and go by its parameter group."""
    members = {member.id for member in seen.view.members}
    lost = Health.UNREACHABLE in seen.health.values()
    return (
        seen.view.primary is not None
        and members == further.nodes.keys()
        and seen.in_sync
        and not lost
    )


def _put(
    world: World, name: str, further: Further, message: str = "", starts: bool = False
) -> Done:
    events = (_event(world, name, message),) if message else ()
    acts = (start_of(name, further),) if starts else ()
    return Done(lambda _: {}, changed(world, name, further), events, acts)


def _gone(world: World, name: str) -> Done:
    event = _event(world, name, "The cluster was deleted.")
    return Done(lambda _: {}, changed(world, name, None), (event,))


def _event(world: World, name: str, message: str) -> Event:
    return world.event("CLUSTER", name, message)
