"""Whether callers' policies count, and for which tables, by a node's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.access.counting import Refusals
from cluster.settings import NodeSettings
from paceline.clock import wall_time

if TYPE_CHECKING:
    from node.access.authorizer import Authorizer
    from node.access.items import InfoOf

AWS = "aws"
PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
"""By how regions begin: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html."""


def authorizer_of(settings: NodeSettings, info_of: InfoOf, refusals: Refusals) -> Authorizer | None:
    """None where everybody may do everything that is let in at all."""
    access, region = settings.access, settings.dynamodb.region
    if access.authentication == "off" or access.authorization == "off":
        return None
    # Two megabytes that a node where everybody may do everything need not have.
    from node.access.authorizer import Authorizer  # noqa: PLC0415
    from node.access.places import Place  # noqa: PLC0415

    partition = next((name for begin, name in PARTITIONS.items() if region.startswith(begin)), AWS)
    return Authorizer(Place(region, access.account, partition), info_of, wall_time, refusals)
