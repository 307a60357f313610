"""Reports writes in doubt, whose primary's lease lapsed under way, to the current primary."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.coherence.primary import Primary
from node.writes.fencing import IN_DOUBT, PrimaryAccess, announced
from paceline.errors import Unavailable
from paceline.types import Key, Params, Result

REPORT_IN_DOUBT = "ReportOrphan"
"""The operation, which is forwarded like a write."""


class InDoubtWrites:
    """After a report every node that may serve has dropped the keys, and treats them as unknown;
    more than half of the members know. So the write's success may be told."""

    def __init__(self, access: PrimaryAccess) -> None:
        self._access = access

    async def report(
        self, keys: Sequence[Key], deadline: float, remade: Sequence[str] = ()
    ) -> bool:
        """False: no primary could be told until ``deadline``. ``remade``: tables that may be other
        ones. Raises nothing: what is to be told is a success."""
        params: Params = {"Keys": [list(key) for key in keys]}
        if remade:
            params["Remade"] = list(remade)

        async def here(primary: Primary) -> Result:
            return await self.run_here(primary, params, deadline)

        try:
            await self._access.at_primary(REPORT_IN_DOUBT, params, deadline, here, repeatable=True)
        except Unavailable:
            return False
        return True

    async def run_here(self, primary: Primary, params: Params, deadline: float) -> Result:
        """Fences the keys as a write would, and settles them unknown. Raises EpochOver or
        NotSent."""
        await announced(
            self._access.driver,
            primary,
            tuple((table, key) for table, key in params["Keys"]),
            self._access.left_s(deadline),
            IN_DOUBT,
            remade=tuple(params.get("Remade") or ()),
        )
        return {}
