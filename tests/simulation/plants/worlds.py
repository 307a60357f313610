"""Worlds in which planted bugs show soon: what differs from the options that a seed draws."""

from tests.simulation import worlds
from tests.simulation.plants.calm_worlds import CALM_WORLDS
from tests.simulation.plants.member_worlds import MEMBER_WORLDS
from tests.simulation.plants.outside_worlds import OUTSIDE_WORLDS
from tests.simulation.plants.rights_worlds import RIGHTS_WORLDS
from tests.simulation.plants.troubled_worlds import TROUBLED_WORLDS

WORLDS = {
    **worlds.WORLDS,
    **CALM_WORLDS,
    **TROUBLED_WORLDS,
    **OUTSIDE_WORLDS,
    **MEMBER_WORLDS,
    **RIGHTS_WORLDS,
}
