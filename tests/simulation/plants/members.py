"""Rules of ADR 12 and of docs/coherence.md on founding, naming and admission, left out."""

from tests.simulation.planting import Change, Plant

FOUNDING = "cluster.consensus.founding:Founding"
BEGINNING = "cluster.consensus.beginning:Beginning"
LOG_MEMBERS = "cluster.log_members:LogMembers"
STATE = "cluster.log.state:ReplicatedState"
AGENT = "cluster.agent:Agent"
LEADERSHIP = "cluster.consensus.core.leadership:Leadership"
CONFIGURATION = "cluster.consensus.core.configuration:Configuration"

TOGETHER = "A log is founded by all configured founders together, each naming its disk"
PROMISED_SET = "Who knows that all have promised the same set has founded the log"
ONCE = "Who knows the disks of all promises this very set, durably, and promises no other one ever"
NO_OTHER = "A disk that promised founds that log or is in none"
NEVER_NAMED = "A disk that has a log is never named so"
EMPTIED = "a directory that was emptied is another disk, and has no vote"
TAKEN_IN = "the leader takes it in as a learner, which votes once it has the log"

FOUNDERS = (
    Plant(
        "a log is founded without those that do not answer",
        f"{FOUNDING}.outcome",
        "me = self._me\n",
        "me = Introduction(self._me.node, self._me.disk, self._me.cluster,"
        " tuple(sorted(self._heard)), self._me.promised)\n",
        "founders die",
        TOGETHER,
    ),
    Plant(
        "a log is founded before all have promised",
        f"{FOUNDING}.outcome",
        "if late:",
        "if False:",
        "founders die",
        PROMISED_SET,
    ),
    Plant(
        "a promise counts for any disks",
        f"{FOUNDING}.outcome",
        "if promised is not None and promised != disks:",
        "if False:",
        "founders lose a disk",
        PROMISED_SET,
    ),
    Plant(
        "a promise is forgotten by a restart",
        f"{FOUNDING}.__init__",
        "tuple(sorted(founders)), promised)",
        "tuple(sorted(founders)), None)",
        "founders lose a disk",
        ONCE,
    ),
    Plant(
        "a promise is told before it is durable",
        f"{BEGINNING}._follow",
        "            await self._keep(disks)\n            self._founding.promise(disks)",
        "            self._founding.promise(disks)\n            await self._keep(disks)",
        "founders die",
        ONCE,
    ),
    Plant(
        "whoever does not know yet who is a member refuses others",
        f"{LOG_MEMBERS}.introduced",
        "certain = consensus.is_leader and consensus.synced and bool(state.cluster_id)",
        "certain = True",
        "founders die",
        "only a leader is certain of that",
    ),
    Plant(
        "a disk that promised to found another log joins",
        f"{FOUNDING}._exists",
        "if me.promised is not None:",
        "if False:",
        "it grows by disks of another cluster",
        NO_OTHER,
        also=(Change(f"{LOG_MEMBERS}.introduced", "and other.promised in (None, founders)", ""),),
    ),
    Plant(
        "a disk that promised to found another log is named",
        f"{LOG_MEMBERS}.introduced",
        "and other.promised in (None, founders)",
        "",
        "it grows by disks of another cluster",
        NO_OTHER,
        unseen="hole: an operator who does at once what the node says has emptied the disk before"
        " its second question, by which it would be named; a unit test sees that it is not",
    ),
    Plant(
        "a disk with another log is named",
        f"{LOG_MEMBERS}.introduced",
        "if other.founded is None and",
        "if",
        "it grows by disks of another cluster",
        NEVER_NAMED,
    ),
)

ADMITTED = (
    Plant(
        "a disk joins before the log has its name",
        f"{BEGINNING}._round",
        "isinstance(heard, Join) and answer.welcome.accepted",
        "isinstance(heard, Join)",
        "it grows from one node, and letters are late",
        "A disk without a log that finds one waits",
        unseen="equivalent: the very question by which it joins makes a member name it; a unit test"
        " sees that it waits",
    ),
    Plant(
        "a learner votes before it has the log",
        f"{LEADERSHIP}.is_level",
        "and peer.match >= commit\n        and self._answers(peer, now)",
        "",
        "it grows from one node",
        TAKEN_IN,
    ),
    Plant(
        "a learner counts",
        f"{CONFIGURATION}.reached_by_majority",
        "for voter in self.voters), reverse=True",
        "for voter in self.members), reverse=True",
        "it grows from one node",
        TAKEN_IN,
    ),
    Plant(
        "a later disk takes the name of the first one",
        f"{STATE}._name_disk",
        "known = self.disks.setdefault(command.id, command.disk_id)",
        "self.disks[command.id] = known = command.disk_id",
        "it grows from one node, and letters are late",
        "the log names it as its node's, if that is a member without a disk",
        unseen="hole: two disks of a node that was admitted once would have to be started; a unit"
        " test sees which is named",
    ),
    Plant(
        "what was said before an admission names a disk",
        f"{STATE}._name_disk",
        "if command.admission not in (None, self.admission_of(command.id)):",
        "if False:",
        "members lose their disks twice",
        "an introduction names a disk only if it repeats the number of its node's admission",
        also=(Change(f"{LOG_MEMBERS}.introduced", "other.admission in (None, number)", "True"),),
    ),
    Plant(
        "what was asked for a former disk names it",
        f"{STATE}._register",
        "if register.disk_id in self.former_disks:",
        "if False:",
        "it grows from one node, and letters are late",
        "A disk whose member was removed is never named again",
    ),
    Plant(
        "a removed member keeps its disk's name in the log",
        f"{STATE}._remove",
        "self._forget_disks({remove.id})",
        "pass",
        "members lose their disks",
        "the log names it as its node's, if that is a member without a disk",
    ),
    Plant(
        "a disk is accepted by its node's name",
        f"{LOG_MEMBERS}.introduced",
        "if known == disk:",
        "if known is not None:",
        "members lose their disks",
        EMPTIED,
    ),
    Plant(
        "an emptied disk answers under the name of before",
        "cluster.consensus.participant:Participant.__init__",
        "self.name = name\n",
        "self.name = name = node_id\n",
        "members lose their disks",
        EMPTIED,
        also=(
            Change(
                f"{BEGINNING}.__init__", "Founding(node_id, disk,", "Founding(node_id, node_id,"
            ),
            Change(
                f"{AGENT}.__init__",
                "member.incarnation if data_dir is None else data_dir.identity.disk_id",
                "member.id",
            ),
        ),
    ),
)

LEFT = (
    Plant(
        "a leader that is no member goes on leading",
        f"{LOG_MEMBERS}.follow",
        "return False",
        "return True",
        "members are replaced one by one",
        "a leader whose node is no member hands over",
        unseen="equivalent: the primary wishes to lead the log, and is a member; a unit test sees"
        " who hands over",
    ),
    Plant(
        "the log's removals are not Raft's",
        f"{LOG_MEMBERS}._change",
        "changes += [(self._consensus.remove_peer, disk) for disk in sorted(present - wanted)]",
        "pass",
        "members are replaced one by one",
        "a change which its caller did not finish is finished by whoever leads",
    ),
    Plant(
        "a removal is told while Raft counts the removed one",
        f"{AGENT}.remove_member",
        "while disk is not None:",
        "while False:",
        "one node is replaced by another",
        "On return it may be switched off for good",
    ),
    Plant(
        "a change of members does not wait for the one before",
        f"{LEADERSHIP}.change_refused",
        "if self._log.configuration_index > commit:",
        "if False:",
        "members are replaced one by one",
        "changes of one member at a time",
        unseen="hole: two changes by two leaders would have to meet, which the worlds of the core"
        " show",
    ),
    Plant(
        "a survivor goes on under the name of its disk",
        "cluster.recovery:recover_opened",
        "disk = secrets.token_hex(16)",
        "disk = data_dir.identity.disk_id",
        "a majority is lost for good",
        "The survivor's disk gets another name",
        unseen="hole: those that are lost would have to run, and be a majority; a conformance test"
        " of the recovery shows it",
    ),
)

MEMBERS = (*FOUNDERS, *ADMITTED, *LEFT)
