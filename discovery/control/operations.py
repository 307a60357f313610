"""Which function answers which operation. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from discovery.control.addressing import for_any
from discovery.control.clusters import describe_clusters, update_cluster
from discovery.control.creating import create_cluster, delete_cluster
from discovery.control.history import describe_events
from discovery.control.nodes import (
    decrease_replication_factor,
    increase_replication_factor,
    reboot_node,
)
from discovery.control.parameter_groups import (
    create_parameter_group,
    delete_parameter_group,
    describe_default_parameters,
    describe_parameter_groups,
    describe_parameters,
    update_parameter_group,
)
from discovery.control.stacks import list_stack, or_of_stack, tag_stack, untag_stack
from discovery.control.subnet_groups import (
    create_subnet_group,
    delete_subnet_group,
    describe_subnet_groups,
    update_subnet_group,
)
from discovery.control.tags import list_tags, tag_resource, untag_resource
from discovery.control.world import Operate

OPERATIONS: Mapping[str, Operate] = {
    "".join(word.capitalize() for word in one.__name__.split("_")): one
    for one in (
        create_cluster,
        create_parameter_group,
        create_subnet_group,
        for_any(decrease_replication_factor),
        delete_cluster,
        delete_parameter_group,
        delete_subnet_group,
        describe_clusters,
        describe_default_parameters,
        describe_events,
        describe_parameter_groups,
        describe_parameters,
        describe_subnet_groups,
        for_any(increase_replication_factor),
        or_of_stack(list_tags, list_stack),
        for_any(reboot_node),
        or_of_stack(tag_resource, tag_stack),
        or_of_stack(untag_resource, untag_stack),
        for_any(update_cluster),
        update_parameter_group,
        update_subnet_group,
    )
}
"""By AWS's name: ``describe_clusters`` is DescribeClusters."""
