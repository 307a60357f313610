"""Rules of docs/security.md left out: who may do what, and how soon a change of that counts."""

from tests.simulation.planting import Plant

REPLICA = "cluster.coherence.replica:Replica"
CURRENCY = "cluster.access.currency:Currency"
DAX = "cluster.transport.dax_callers:DaxCaller"
AUTHORIZER = "node.access.authorizer:Authorizer"
LOG = "cluster.access.directories:LogPrincipals"

RIGHTS = (
    Plant(
        "a read lease counts before the rights are the primary's",
        f"{REPLICA}._leased",
        "if reply.rights_revision > self._guard.rights_revision():",
        "if False:",
        "rights change while disks are full",
        "a read lease does not count before the node knows what the primary knows of principals",
    ),
    Plant(
        "who is cut off lets keys of the log in for ever",
        f"{CURRENCY}.check",
        "if now >= self._level_at + self._stale_s:",
        "if False:",
        "rights change while nodes are cut off",
        "it does so for PACELINE_ACCESS__STALE_S after it was level with its cluster last",
    ),
    Plant(
        "a lease that was refused makes a node level",
        f"{REPLICA}._leased",
        "if reply.duration_s > 0:",
        "if True:",
        "rights change while nodes are cut off",
        "it does so for PACELINE_ACCESS__STALE_S after it was level with its cluster last",
        unseen="hole: a primary that gives no leases is itself level, or ends within a second",
    ),
    Plant(
        "a DAX connection is let in for as long as its signature is good",
        f"{DAX}._denied",
        "self.verified = checked_again(found, self._principals, now)",
        "pass",
        "rights change",
        "A change acts at once, with the next request on open connections, too",
    ),
    Plant(
        "hits by DAX go by what was true when the connection was signed",
        f"{DAX}.answered",
        "if found.version != self._version():",
        "if False:",
        "rights change",
        "A change acts at once, with the next request on open connections, too",
    ),
    Plant(
        "requests by HTTP like one that was verified stay verified",
        "cluster.access.signatures.alike:Alike.is_signed",
        "if principals.version() != self.verified.version:",
        "if False:",
        "rights change, by HTTP",
        "A change acts at once, with the next request on open connections, too",
    ),
    Plant(
        "verdicts outlive the policies that they are of",
        f"{AUTHORIZER}._of",
        "if kept is not None and kept.version == by.version:",
        "if kept is not None:",
        "rights change",
        "A change of policies counts from the next request on",
    ),
    Plant(
        "hits are not judged",
        f"{AUTHORIZER}.may_get",
        'found = self._always(kept, table.decode("utf-8", "replace"), GET)',
        "found = True",
        "rights change",
        "It is decided below all front ends, before anything is sent or looked up: for hits",
    ),
    Plant(
        "batches of whole items are not judged",
        f"{AUTHORIZER}.may_batch_get",
        "return all(",
        "return True or all(",
        "rights change, batches",
        "for each item of batches and transactions",
    ),
    Plant(
        "a principal that is disabled is let in",
        "cluster.access.principals:found",
        "if principal is None or principal.disabled:",
        "if principal is None:",
        "rights change, by HTTP",
        "paceline principal disable: on open connections too",
    ),
    Plant(
        "a key that is disabled is let in",
        "cluster.access.principals:found",
        "if key is None or key.disabled:",
        "if key is None:",
        "rights change, by HTTP",
        "paceline principal disable: on open connections too",
    ),
    Plant(
        "a principal that has not changed by name is not opened again",
        f"{LOG}._open",
        "if name in before and before[name][0] == one.revision",
        "if name in before",
        "rights change",
        "A change acts at once wherever the log has come to",
    ),
    Plant(
        "a signature is not compared",
        "cluster.access.signatures.verification:verify",
        "if not matches:",
        "if False:",
        "rights change",
        "What was signed has to be what came",
        unseen="hole: no client of the simulation signs wrongly; unit tests do",
    ),
)
