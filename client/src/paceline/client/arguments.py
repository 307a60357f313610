"""Arguments as boto3 and Amazon's DAX client name them, so that a constructor can be swapped and
nothing else; what they mean here is in docs/clients.md."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from botocore.config import Config

from paceline.client.options import Options
from paceline.client.settings import OnRequest, Settings
from paceline.client.signing import Credentials
from paceline.errors import ConfigError

NO_EFFECT: Final = frozenset({"api_version", "ip_discovery", "is_route_manager_enabled"})
"""Arguments of Amazon's client that are accepted and ignored: there is one version of the API,
nodes say themselves where they are, and there is always a circuit breaker."""
RETRIES: Final = 2
"""The retries of Amazon's DAX client, for a ``config`` that does not say."""
REGION: Final = "us-east-1"
"""For boto3's own code, which needs a region; the cluster does not."""

Endpoints = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class ResolvedArguments:
    options: Options
    settings: Settings
    config: Any
    """botocore's ``Config``, with the region that was found."""


def resolve_arguments(
    first: Any,
    endpoint_url: Endpoints,
    settings: Settings | None,
    on_request: OnRequest | Iterable[OnRequest],
    options: dict[str, Any],
) -> ResolvedArguments:
    """``first``: an endpoint, or a session of botocore or boto3 as Amazon's client takes it."""
    options = {name: value for name, value in options.items() if name not in NO_EFFECT}
    session = options.pop("session", None)
    if first is not None and not isinstance(first, str) and hasattr(first, "get_credentials"):
        session, first = first, None
    if first is not None and endpoint_url is not None:
        raise ConfigError("two endpoints: one stands first, another is endpoint_url=")
    seeds = _endpoints(first or endpoint_url, options.pop("endpoints", None))
    use_ssl = options.pop("use_ssl", None)
    config: Any = options.pop("config", None) or Config()
    session = getattr(session, "_session", session)  # boto3's has botocore's
    if session is not None:
        if not hasattr(session, "get_default_client_config"):
            raise ConfigError("session= takes a session of botocore or boto3")
        usual = session.get_default_client_config()
        config = config if usual is None else usual.merge(config)
        _use_session(session, config, options)
    region = options.get("region_name") or config.region_name
    options["region_name"] = region
    added = (on_request,) if callable(on_request) else tuple(on_request)
    settings = settings or Settings(**timeouts_from_config(config))
    chosen = Options(seeds, **options)
    if use_ssl and not chosen.seeds()[0].tls:
        raise ConfigError("use_ssl=True needs an endpoint with TLS: daxs://host:port")
    return ResolvedArguments(
        chosen,
        replace(settings, on_request=(*settings.on_request, *added)),
        config.merge(Config(region_name=region or REGION)),
    )


def _endpoints(one: Endpoints, more: Iterable[str] | None) -> tuple[str, ...] | None:
    given = (one,) if isinstance(one, str) else tuple(one or ())
    return tuple(dict.fromkeys((*given, *(more or ())))) or None


def timeouts_from_config(config: Any) -> dict[str, Any]:
    """The ``Settings`` that a botocore ``Config`` sets explicitly; its other options are about
    HTTP."""
    given: dict[str, Any] = getattr(config, "_user_provided_options", {})
    found: dict[str, Any] = {}
    if (connect_s := given.get("connect_timeout")) is not None:
        found["connect_s"] = float(connect_s)
    if (connections := given.get("max_pool_connections")) is not None:
        found["connections_max"] = int(connections)
    if (read_s := given.get("read_timeout")) is not None:
        retries = given.get("retries") or {}
        attempts = retries.get("total_max_attempts") or 1 + retries.get("max_attempts", RETRIES)
        found["read_deadline_s"] = found["write_deadline_s"] = float(read_s) * attempts
        found["attempt_s"] = min(Settings().attempt_s, float(read_s))
    return found


def _use_session(session: Any, config: Any, options: dict[str, Any]) -> None:
    """Takes the region and the credentials of a session."""
    if options.get("region_name") is None and config.region_name is None:
        options["region_name"] = session.get_config_variable("region")
    if options.get("ca_bundle") is None:
        options["ca_bundle"] = session.get_config_variable("ca_bundle")
    if options.get("aws_access_key_id") is None and options.get("credentials") is None:
        found = session.get_credentials()
        if found is not None:
            options["credentials"] = _credentials_of(found)


def _credentials_of(found: Any) -> Callable[[], Credentials]:
    def credentials() -> Credentials:
        frozen = found.get_frozen_credentials()  # renewed by botocore when it is time
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return credentials
