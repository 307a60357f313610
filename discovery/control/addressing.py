"""Operations on one cluster, carried over to whichever cluster they name. Pure.

An operation is written for the cluster of its world. For a further cluster it is given a world in
which that one is *the* cluster; what it comes to is put back into the records of all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from discovery.control.records import Further, Records
from discovery.control.subnet_groups import zones_of
from discovery.control.world import UNSEEN, Act, Asked, Done, Front, Operate, Result, World


def for_any(operate: Operate) -> Operate:
    """The operation, on the cluster that it names."""

    @functools.wraps(operate)
    def addressed(world: World, asked: Asked) -> Done:
        name = _named(world, asked)
        if name not in world.records.further:
            return operate(world, asked)
        return decided_inside(world, name, lambda inner: operate(inner, asked))

    return addressed


def decided_inside(world: World, name: str, decide: Callable[[World], Done]) -> Done:
    """``decide`` for the further cluster of that name, put back into the home cluster's world."""
    done = decide(inside(world, name))

    def tell(now: World) -> Result:
        return done.tell(inside(now, name))

    return replace(
        done,
        tell=tell,
        records=None if done.records is None else _outside(world.records, name, done.records),
        acts=tuple(
            replace(act, cluster=name) if isinstance(act, Act) else act for act in done.acts
        ),
    )


def inside(world: World, name: str) -> World:
    """The world of a further cluster."""
    further = world.records.further[name]
    seen = world.seen.get(name, UNSEEN)
    site = further.site
    front = Front("", 0, "default", tls=False, only_tls=False)
    return replace(
        world,
        records=replace(
            world.records,
            cluster=further.cluster,
            observed=further.observed,
            acting=further.acting,
        ),
        view=seen.view,
        health=seen.health,
        facts=seen.facts or world.facts,
        place=replace(world.place, cluster=name),
        front=front if site is None else replace(front, host=site.host, port=site.port),
        beside=further,
        zones_given=zones_of(world, further.subnet_group) or tuple(sorted(further.nodes.values())),
        in_sync=seen.in_sync,
    )


def changed(world: World, name: str, further: Further | None) -> Records:
    """With another record of that further cluster, or without it."""
    left = {k: one for k, one in world.records.further.items() if k != name}
    return replace(world.records, further=left if further is None else {**left, name: further})


def _outside(home: Records, name: str, inner: Records) -> Records:
    further = replace(
        home.further[name], cluster=inner.cluster, observed=inner.observed, acting=inner.acting
    )
    return replace(
        inner,
        cluster=home.cluster,
        observed=home.observed,
        acting=home.acting,
        further={**home.further, name: further},
    )


def _named(world: World, asked: Asked) -> str:
    """Denied: an ARN of no cluster."""
    if "ResourceName" in asked:
        return world.place.cluster_of(asked["ResourceName"])
    return str(asked["ClusterName"]).lower()
