"""How streams of writers outside the cluster are followed: ``node/streams``."""

from tests.simulation.planting import Change, Plant

PLAN = "node.streams.plan:ReadingPlan"

STREAMS: tuple[Plant, ...] = (
    Plant(
        "positions move on before records are applied",
        f"{PLAN}._page",
        "if page.records:\n",
        "if page.records:\n        shard.position = page.last or shard.position\n",
        "outside writers and failovers",
        "A shard's position moves past records only when they have been applied.",
        unseen="hole: the fence of the records reaches the next primary before the checkpoint does",
    ),
    Plant(
        "children are read before the end of their parent",
        "node.streams.shards:Shards.readable",
        "if parent is None or parent.position == END:",
        "if True:",
        "outside writers and shards that split",
        "The records of one item come in the order in which they were written.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "the flush does not wait for the first answer",
        f"{PLAN}._may_flush",
        "return self._listed and all(\n"
        "        shard.begun or shard.position != LATEST for shard in self._shards.by_id.values()\n"
        "    )",
        "return True",
        "outside writers and slow streams",
        "What was written before the first answer is in no cache, what comes later is read.",
    ),
    Plant(
        "a stream that is followed from now on flushes nothing",
        f"{PLAN}._begin",
        "if flush is not None:",
        "if False:",
        "outside writers and failovers",
        "Whatever may have been missed is made up for by a flush.",
    ),
    Plant(
        "a checkpoint is written while a flush is wanted",
        f"{PLAN}.checkpoint",
        "or not self.complete",
        "",
        "outside writers and failovers",
        "checkpoint is None while such a flush is wanted.",
        unseen="hole: most such checkpoints have a shard without records, which needs a flush too",
    ),
    Plant(
        "a checkpoint without records is gone on from",
        f"{PLAN}._looked",
        " and not WITHOUT_RECORDS & set(positions.values())",
        "",
        "outside writers and failovers",
        "A shard of which nothing was read yet needs a flush at a failover.",
    ),
    Plant(
        "any own write with a record's image has done for it",
        "node.streams.own_writes:OwnWrites.is_echo",
        "    del self._writes[key]\n    return False",
        "    return False",
        "outside deletions and own ones",
        "Any other record makes everything remembered of its item be forgotten.",
        also=(
            Change(
                "node.streams.own_writes:OwnWrites.forget",
                "self._writes.pop(key, None)",
                "pass",
            ),
        ),
    ),
    Plant(
        "every record is taken for an echo",
        "node.streams.own_writes:OwnWrites.is_echo",
        "if writes[0].digest == _digest(item) and _covers(writes[0].effect, effect):",
        "if True:",
        "outside writers",
        "A record is passed over when its image is that of the oldest remembered write.",
    ),
    Plant(
        "lag leaves out shards whose children are not known",
        "node.streams.shards:Shards.levels",
        "(*self.readable(), *open_ended)",
        "self.readable()",
        "outside writers and shards that split",
        "The lag says for how long something may have been written that not all nodes know of.",
    ),
    Plant(
        "a table counts as followed before its shards have answered",
        f"{PLAN}.level_known",
        "NEVER not in self._shards.levels()",
        "True",
        "outside writers and failovers",
        "The lag says for how long something may have been written that not all nodes know of.",
    ),
)
