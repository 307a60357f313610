"""Which ports of a node other machines may reach."""

import pytest

from cluster.settings import AccessSettings, NodeSettings
from node.admin.addresses import check
from paceline.errors import ConfigError


def test_the_admin_port_alone_may_be_opened() -> None:
    admin = {"admin_bind": "0.0.0.0:8201"}
    with pytest.raises(ConfigError, match="PACELINE_ADMIN_BIND"):
        check(NodeSettings(**admin))  # type: ignore[arg-type]
    check(NodeSettings(**admin, admin_insecure=True))  # type: ignore[arg-type]
    signing = AccessSettings(authentication="sigv4")
    for bind in ({"http_bind": "0.0.0.0:8141"}, {"grpc_bind": "0.0.0.0:8161"}):
        with pytest.raises(ConfigError, match="can be reached from other machines"):
            check(NodeSettings(**admin, **bind, admin_insecure=True, access=signing))  # type: ignore[arg-type]
