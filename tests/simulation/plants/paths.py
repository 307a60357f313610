"""Reads, writes, forwarding, orphans, DynamoDB's answers, the primary lease."""

from tests.simulation.planting import Plant

WRITES = "node.writes.path:WritePath"
FENCED = "node.writes.fencing:fenced.__aenter__"
ACCESS = "node.writes.fencing:PrimaryAccess"
READS = "node.reads.items:ReadPath"
MISSES = "node.reads.misses:Misses"
GROUPS = "node.reads.miss_groups"
BATCH = "node.reads.batch_get:BatchGet"
FORMS = "node.reads.batch_forms:BatchForms"
WANTED = "node.reads.batch_get:Wanted"
ROUND = "node.backend.writes:_Round"
KEEPER = "cluster.log.primary_lease:LeaseKeeper"
EXCHANGE = "node.replication.forwarding:Exchange"
ITEMS = "node.cache.item_cache:ItemCache"

ALONE = {"node.replication.forwarding:SHARED_BYTES_MAX": 0}
"""Every forwarded write is a call of its own, as large ones are."""

PATHS: tuple[Plant, ...] = (
    # -- writes -----------------------------------------------------------------------------------
    Plant(
        "an unanswered write settles as rejected",
        f"{WRITES}._judge",
        "return Outcome.UNKNOWN, []",
        "return Outcome.REJECTED, []",
        "answers that are lost",
        "The caller says unknown whenever any attempt ended without an answer.",
    ),
    Plant(
        "an unanswered write settles as done",
        f"{WRITES}._judge",
        "return Outcome.UNKNOWN, []",
        "return Outcome.SUCCESS, []",
        "answers that are lost",
        "The caller says unknown whenever any attempt ended without an answer.",
    ),
    Plant(
        "orphaned writes are told without a report",
        f"{WRITES}._fenced",
        "told = fence.held or fence.outcome is Outcome.REJECTED",
        "told = True",
        "leases that lapse",
        "Only when the current primary knows of an orphaned write is its success told.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "a report of an orphan needs no answer",
        f"{ACCESS}.at_primary",
        "if not repeatable:",
        "if repeatable:\n                return {}\n            if not repeatable:",
        "leases that lapse",
        "If no primary can be told before the deadline, the answer is 'outcome unknown'.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "orphans are reported without a fence",
        FENCED,
        "ready.result()",
        "if purpose is not IN_DOUBT:\n            ready.result()",
        "leases that lapse",
        "The primary fences the keys of an orphan like a write, and waits as for a write.",
        unseen="equivalent: an epoch that ends meanwhile is seen from the settling, too",
    ),
    Plant(
        "orphans are reported without waiting",
        FENCED,
        "if not ready.done():\n"
        "            late = asyncio.get_running_loop().call_later(\n"
        "                max(self._within_s, 0.0), _give_up, ready, purpose\n"
        "            )\n"
        "            try:\n"
        "                await ready\n"
        "            finally:\n"
        "                late.cancel()\n"
        "        ready.result()",
        "if purpose is not IN_DOUBT:\n"
        "            if not ready.done():\n"
        "                late = asyncio.get_running_loop().call_later(\n"
        "                    max(self._within_s, 0.0), _give_up, ready, purpose\n"
        "                )\n"
        "                try:\n"
        "                    await ready\n"
        "                finally:\n"
        "                    late.cancel()\n"
        "            ready.result()",
        "leases that lapse",
        "The primary fences the keys of an orphan like a write, and waits as for a write.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "orphans settle as rejected",
        FENCED,
        "fence.outcome = purpose.unsaid",
        "fence.outcome = Outcome.REJECTED if purpose is IN_DOUBT else purpose.unsaid",
        "leases that lapse",
        "The current primary settles the keys of an orphan unknown.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "a rejection makes up for an attempt without an answer",
        f"{ROUND}.refused",
        "if end.meaning.unchanged:",
        "if end.meaning.unchanged:\n        self._unanswered = self.ambiguous = False",
        "transactions",
        "Unknown whenever any attempt ended without an answer, whatever later attempts say.",
    ),
    Plant(
        "an answer that never came was no attempt",
        f"{ROUND}.silent",
        "if end.sent:",
        "if False:",
        "answers that are lost",
        "The caller says unknown whenever any attempt ended without an answer.",
    ),
    Plant(
        "writes without a token are repeated",
        f"{ROUND}._repeat",
        "self._has_token and ",
        "",
        "answers that are lost",
        "A write whose outcome is unknown is never sent again.",
    ),
    Plant(
        "a server's error changed nothing",
        f"{ROUND}.refused",
        "self._unknown(str(end.error))",
        "self._error = end.error",
        "answers that are lost",
        "An answer of 5xx says nothing about the write.",
    ),
    Plant(
        "a batch that was done in part changed nothing",
        "node.backend.writes:_in_part",
        "ambiguous=True",
        "ambiguous=False",
        "batches in part",
        "A batch that was done in part settles unknown.",
    ),
    Plant(
        "a batch forgets what is left",
        "node.backend.writes:Writes._batch_write",
        "if not left:",
        "if True:",
        "batches in part",
        "What was acknowledged has happened.",
    ),
    # -- forwarding -------------------------------------------------------------------------------
    Plant(
        "a forwarded write without an answer was not sent",
        "node.replication.forwarding:Forwarder.forward",
        "raise OutcomeUnknown(",
        "raise NotSent(",
        "links that break under forwarded writes",
        "A write that was handed over and not answered is of unknown outcome.",
        limits=ALONE,
    ),
    Plant(
        "a forwarded write without an answer is forwarded again",
        "node.replication.forwarding:Forwarder.forward",
        "raise OutcomeUnknown(",
        "raise EpochOver(",
        "links that break under forwarded writes",
        "Nothing is ever sent twice.",
        limits=ALONE,
    ),
    Plant(
        "what was under way on a stream that broke was not sent",
        f"{EXCHANGE}._break",
        "one.answer.set_exception(OutcomeUnknown(_BROKE))",
        "one.answer.set_exception(NotSent(_BROKE))",
        "links that break under forwarded writes",
        "A write that was handed over and not answered is of unknown outcome.",
    ),
    Plant(
        "what was under way on a stream that broke is sent on the next one",
        f"{EXCHANGE}._break",
        "if one.sent:",
        "if False:",
        "links that break under forwarded writes",
        "Nothing is ever sent twice.",
    ),
    Plant(
        "only what the primary answers counts as sent",
        f"{EXCHANGE}._frame",
        "asked.sent = True",
        "asked.sent = False",
        "links that break under forwarded writes",
        "From when a frame is handed over all that is in it counts as sent.",
    ),
    Plant(
        "what waits for a former primary was not sent",
        "node.replication.forwarding:_unanswered",
        "if not asked.sent:",
        "if True:",
        "links that break under forwarded writes",
        "Nothing is ever sent twice.",
    ),
    Plant(
        "a frame has each of its writes twice",
        f"{EXCHANGE}._frame",
        "frame.requests.add(id=number, left_s=left_s, request=asked.request)",
        "[frame.requests.add(id=number, left_s=left_s, request=asked.request) for _ in (1, 2)]",
        "links that break under forwarded writes",
        "Nothing is ever sent twice.",
    ),
    Plant(
        "answers come in the order of their requests",
        f"{EXCHANGE}._read",
        "self._asked.pop(answer.id, None)",
        "self._asked.pop(min(self._asked, default=0), None)",
        "links that break under forwarded writes",
        "An answer is of the request whose number it has.",
    ),
    Plant(
        "who is no primary any more tells forwarded writes as done",
        "node.frontends.peers:ReplicationServicer._answer",
        "return pb.NumberedAnswer(id=numbered.id, not_primary=str(error))",
        "reply = pb.ForwardReply(result=wire.pack({}))",
        "links that break under forwarded writes",
        "Who is not the primary refuses what is forwarded to it.",
    ),
    Plant(
        "a write that changed primaries is sent again",
        f"{ACCESS}._there",
        "raise OutcomeUnknown(",
        "raise EpochOver(",
        "links that break under forwarded writes",
        "Nothing is ever sent twice.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "any node writes what is forwarded to it",
        f"{ACCESS}.here",
        "if not isinstance(route, Here):",
        "if False:",
        "links that break under forwarded writes",
        "Only the primary writes.",
        unseen="hole: what comes of it is an error that forwards nothing, not a write",
    ),
    # -- reads ------------------------------------------------------------------------------------
    Plant(
        "reads that pass through may be eventual",
        f"{READS}.item",
        "consistent=fill is None or ",
        "consistent=fill is not None and ",
        "lagging reads",
        "No fill: ConsistentRead, shared with nobody, not kept.",
    ),
    Plant(
        "consistent fills ask without it",
        f"{READS}.item",
        "fill is None or fill.consistent or key[0] in self.consistent",
        "fill is None or key[0] in self.consistent",
        "lagging reads",
        "A consistent fill asks with ConsistentRead.",
    ),
    Plant(
        "tables that answer consistent reads are filled with others",
        f"{READS}.item",
        "fill is None or fill.consistent or key[0] in self.consistent",
        "fill is None or fill.consistent",
        "reads that lag for ever",
        "Every fill of a table whose cache answers consistent reads asks with ConsistentRead.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "reads are kept without asking the guard",
        f"{MISSES}._kept",
        "if self._guard.end_fill(fill, now):",
        "self._guard.abandon(fill)\n        if True:",
        "slow reads of few keys",
        "if guard.end_fill(fill, now): install, in the same turn.",
    ),
    Plant(
        "fills begin when their answers have come",
        f"{MISSES}._take",
        "try:",
        "if miss.fill is not None:\n"
        "        self._guard.abandon(miss.fill)\n"
        "        miss.fill = self._guard.begin_fill(miss.key, self._clock())\n"
        "    try:",
        "misses that meet",
        "A fill is registered while it runs, so that no invalidation is missed.",
    ),
    Plant(
        "an answer to several misses goes by their order",
        f"{GROUPS}:answers_of",
        "found: dict[Key, Item | None] = {}",
        "return dict(zip(group, responses.get(table.name, ()), strict=False))",
        "misses that meet",
        "A read is answered with the item that it asked for.",
    ),
    Plant(
        "what several misses left undone is not there",
        f"{GROUPS}:answers_of",
        'left = unprocessed.get(table.name, {}).get("Keys", ())',
        "left = ()",
        "misses that meet",
        "Nothing is kept but what was read.",
    ),
    Plant(
        "misses of either consistency go together",
        f"{GROUPS}:grouped",
        "kind = (id(miss.table), miss.consistent)",
        "kind = (id(miss.table), False)",
        "misses that meet",
        "A consistent fill asks with ConsistentRead.",
    ),
    Plant(
        "a key that is asked for twice is answered by the first",
        f"{GROUPS}:grouped",
        "or (group is not None and miss.key in group)",
        "",
        "misses that meet",
        "Every miss is answered.",
        unseen="hole: what comes of it is a read without an answer, and clients give up",
    ),
    Plant(
        "several misses that failed are absent",
        f"{MISSES}._answers",
        "return {}",
        "return dict.fromkeys(group)",
        "misses that meet",
        "Nothing is kept but what was read.",
    ),
    Plant(
        "any read joins any flight",
        "node.reads.single_flight:SingleFlight.run",
        "flight is not None and joinable(flight.token)",
        "flight is not None",
        "slow reads of few keys",
        "joinable(fill, now) says whether a read that begins now may share it.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "batches do not ask for consistency where a fill must",
        f"{WANTED}.consistent",
        "or any(fill.consistent for fill in self.fills.values())",
        "",
        "lagging reads",
        "A consistent fill asks with ConsistentRead.",
    ),
    Plant(
        "batches do not ask for consistency where there is no fill",
        f"{WANTED}.consistent",
        "or len(self.fills) < len(self.missing)",
        "",
        "lagging reads",
        "No fill: ConsistentRead, shared with nobody, not kept.",
    ),
    Plant(
        "batches are kept without asking the guard",
        f"{BATCH}._keep",
        "if fill is not None and self.guard.end_fill(fill, now):",
        "if fill is not None:",
        "batches with late answers",
        "Every fill ends in end_fill or abandon.",
    ),
    Plant(
        "batches in DAX's form are kept without asking the guard",
        f"{FORMS}._kept",
        "if fill is not None and batches.guard.end_fill(fill, now):",
        "if fill is not None:",
        "batches with late answers",
        "Every fill ends in end_fill or abandon.",
    ),
    Plant(
        "batches in DAX's form keep keys that they left undone",
        f"{FORMS}._keep",
        'undone = [encode_key(schema, key) for key in unprocessed.get("Keys", ())]',
        "undone = []",
        "batches with late answers",
        "Nothing is kept but what was read.",
    ),
    Plant(
        "batches keep keys that they left undone",
        f"{BATCH}._keep",
        'images.pop(item_key(name, attributes, schema, "Key"), None)',
        "pass",
        "batches in part",
        "Nothing is kept but what was read.",
    ),
    # -- caches -----------------------------------------------------------------------------------
    Plant(
        "parked entries are not dropped",
        f"{ITEMS}._node",
        "for nodes in (held.live, held.parked):",
        "for nodes in (held.live,):",
        "writes that are refused",
        "A rejected write gives the parked entry back, unless another changed the item.",
    ),
    Plant(
        "parking leaves the entry where it is",
        f"{ITEMS}.park",
        "if held is not None and node is not None:",
        "if False:",
        "slow links",
        "A fenced key has no entry that a lookup could find.",
    ),
    # -- the primary lease ------------------------------------------------------------------------
    Plant(
        "replayed grants make holders",
        f"{KEEPER}.applied",
        "elif started is not None and not replayed:\n"
        "        return self._believe(started + command.duration_s, started, now)",
        "elif mine and replayed or command.holder == self._me and started is None:\n"
        "        return self._believe(now + command.duration_s, now, now)\n"
        "    elif started is not None:\n"
        "        return self._believe(started + command.duration_s, started, now)",
        "crashes",
        "At most one node has the primary lease: nothing that was replayed makes a holder.",
    ),
    Plant(
        "the holder counts from when its grant is applied",
        f"{KEEPER}.applied",
        "return self._believe(started + command.duration_s, started, now)",
        "return self._believe(now + command.duration_s, now, now)",
        "grants that are slow",
        "At most one node has the primary lease: the holder counts from before it proposed.",
    ),
    Plant(
        "others claim as soon as they lead",
        f"{KEEPER}.tick",
        "elif now < self._block_until",
        "elif False",
        "grants that are slow",
        "At most one node has the primary lease: others claim only after its length.",
        also=(),
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "others wait for less than the lease",
        f"{KEEPER}._adopt",
        "record.duration_s * (1 + self._margin)",
        "record.duration_s * (1 - self._margin)",
        "grants that are slow",
        "At most one node has the primary lease: every other node counts the margin on top.",
        unseen="hole: no world shows it yet",
    ),
    Plant(
        "a released lease is still believed in",
        f"{KEEPER}.release",
        "self._outstanding.clear()\n    self._quiet_until = NEVER\n    self._until = NEVER",
        "self._quiet_until = NEVER",
        "planned stops",
        "At most one node has the primary lease: who releases stops believing first.",
        unseen="hole: no world shows it yet",
    ),
)
