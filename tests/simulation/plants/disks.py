"""Rules of docs/log-format.md left out: what disks lose, and when they are full or fail."""

from tests.simulation.planting import Change, Plant

CARRYING_OUT = "cluster.consensus.carrying_out:CarryingOut"
OPENING = "cluster.consensus.disk.opening:_Opening"
RAFT = "cluster.consensus.core.raft:Raft"
LEADERSHIP = "cluster.consensus.core.leadership:Leadership"

WAIT = """if await self._is_stopping(FULL_RETRY_S):
                self.drop()
            continue"""
WRITE = "await self._make_durable(ready.writes)"

DISKS = (
    Plant(
        "a log that lost its end is opened as if it were whole",
        f"{OPENING}.open",
        "lost = found.has_lost(mark)",
        "lost = False",
        "disks lose what they confirmed",
        "the node neither votes nor counts until a leader has given it back what is missing",
    ),
    Plant(
        "a disk that lost what it confirmed votes and stands",
        f"{RAFT}._vote",
        "may_vote = not self._hard.mending and self.log",
        "may_vote = self.log",
        "disks lose what they confirmed, and leaders end",
        "the node neither votes nor counts until a leader has given it back what is missing",
        also=(Change(f"{RAFT}._can_stand", "and not self._hard.mending", ""),),
    ),
    Plant(
        "a disk that lost what it confirmed counts",
        f"{LEADERSHIP}.appended",
        "if reply.mending:\n        return False\n    peer.mend_to = 0",
        "if not reply.mending:\n        peer.mend_to = 0",
        "disks lose what they confirmed, and leaders end",
        "the node neither votes nor counts until a leader has given it back what is missing",
        unseen="hole: so short a log is given back by one message, with which the disk is whole;"
        " the worlds of the core, whose messages are smaller, show it",
    ),
    Plant(
        "a batch for which there is no space is skipped",
        f"{CARRYING_OUT}._make_durable",
        WAIT,
        "self._full = None",
        "disks run full",
        "the same batch is tried again every second",
    ),
    Plant(
        "what follows from a write is said before it",
        f"{CARRYING_OUT}._write",
        WRITE,
        f"self._carry_out(Ready(messages=ready.messages)); {WRITE}",
        "all power fails while disks are slow",
        "it sends nothing that follows from the batch",
    ),
    Plant(
        "a failed write is made again",
        f"{CARRYING_OUT}._make_durable",
        "except DiskFull as",
        "except Exception as",
        "disks fail",
        "When a write or a sync fails, the process ends with exit code 1",
    ),
    Plant(
        "it goes on after a failed write",
        f"{CARRYING_OUT}._fail",
        "self.drop()\n    self._failed(what, error)",
        "pass",
        "disks fail",
        "When a write or a sync fails, the process ends with exit code 1",
    ),
    Plant(
        "the program is not told that its log has failed",
        "node.program:NodeProgram.start",
        "agent.consensus.watch_failure(lifecycle.fail)",
        "pass",
        "disks fail",
        "When a write or a sync fails, the process ends with exit code 1",
    ),
    Plant(
        "a leader without space goes on leading",
        "cluster.consensus.participant:Participant._withdraw",
        "self._raft.withdraw(self._loop.time())",
        "pass",
        "disks run full",
        "gives up leading at once",
        unseen="equivalent: nobody hears it, so it steps down within half a second; a unit test"
        " sees who leads",
    ),
)
