"""Every rule of docs/coherence.md, docs/streams.md, docs/log-format.md and ADR 12 that one change
of text can break, and those of docs/security.md on how soon a change of rights counts."""

from tests.simulation.planting import Plant
from tests.simulation.plants.disks import DISKS
from tests.simulation.plants.guard import GUARDS
from tests.simulation.plants.members import MEMBERS
from tests.simulation.plants.paths import PATHS
from tests.simulation.plants.primary import PRIMARIES
from tests.simulation.plants.queries import QUERIES
from tests.simulation.plants.replica import REPLICAS
from tests.simulation.plants.rights import RIGHTS
from tests.simulation.plants.streams import STREAMS

__all__ = ["PLANTS"]

PLANTS: tuple[Plant, ...] = (
    *GUARDS,
    *QUERIES,
    *PRIMARIES,
    *REPLICAS,
    *PATHS,
    *STREAMS,
    *DISKS,
    *MEMBERS,
    *RIGHTS,
)
