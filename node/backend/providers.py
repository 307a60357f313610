"""Asks AWS for principals' credentials, and whose they are."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import botocore.exceptions
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from cluster.access.upstream import Profile, Role, StaticKey, session_name_of
from cluster.settings import DynamoDBSettings
from node.backend.acting import Who
from node.backend.caller_keys import Fetched, KeysDenied, NoKeys, static_keys
from node.backend.lean.signing import Keys
from node.backend.models import with_models
from node.backend.processes import Processes
from paceline.clock import wall_time

_log = structlog.get_logger()

SESSION_S = 3600
"""Of a role: the longest that every role allows, also one that a role takes on."""

LOOK_S = 600.0
"""A profile is read anew after half of it: who changes it need not restart nodes."""

OF_A_PROFILE = frozenset(
    {
        *("shared-credentials-file", "config-file", "assume-role", "custom-process", "sso"),
        *("assume-role-with-web-identity", "login"),
    }
)
"""botocore's names for where a profile's own credentials come from. A profile that has none would
get the machine's or the container's, which are the node's own rights."""

_PASSING = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "Throttling", "ThrottlingException"}
)
"""Errors of STS that say nothing of the principal: the node's own credentials are being renewed, or
too much is asked."""

_REFUSALS_MAX = 500


def _tell(who: Who, error: str, said: str) -> None:
    _log.warning("no credentials for a principal", principal=who.name, error=error, said=said)


def _cannot(who: Who) -> NoKeys:
    return NoKeys(f"the credentials of {who.name} cannot be had now; the node's log says more")


class AwsProvider:
    """``ca_file``: the authorities to trust instead of botocore's."""

    def __init__(self, settings: DynamoDBSettings, ca_file: Path | None = None) -> None:
        self._settings = settings
        self._ca_file = ca_file
        self._has_sts = bool(settings.sts_endpoint or not settings.endpoint)
        self._exit = AsyncExitStack()
        self._sts: Any = None
        self._starting = asyncio.Lock()
        self._account: str | None = None
        """That of the node's own credentials."""

    async def fetch(self, who: Who) -> Fetched:
        try:
            match who.source:
                case StaticKey():
                    fetched = Fetched(static_keys(who.source), None)
                    await self._check_account(who, await self._account_of(fetched.keys))
                    return fetched
                case Role():
                    return await self._assumed(who, who.source)
                case Profile():
                    return await self._read(who, who.source)
        except botocore.exceptions.ClientError as error:
            # What AWS says names the node's own role and account, and is told in its log alone.
            code = str(error.response.get("Error", {}).get("Code", ""))
            _tell(who, code, str(error)[:_REFUSALS_MAX])
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            if 400 <= status < 500 and code not in _PASSING:
                raise KeysDenied(
                    f"AWS gives no credentials for {who.name} ({code}); the node's log says more"
                ) from None
            raise _cannot(who) from None
        except botocore.exceptions.ProfileNotFound:
            _tell(who, "ProfileNotFound", "")
            raise KeysDenied(f"no credentials for {who.name}: its profile is not there") from None
        except botocore.exceptions.BotoCoreError as error:
            # Such an error may hold whatever a program that gives credentials has written.
            _tell(who, type(error).__name__, "")
            raise _cannot(who) from None

    async def aclose(self) -> None:
        self._sts = None
        await self._exit.aclose()

    async def _assumed(self, who: Who, role: Role) -> Fetched:
        if not self._has_sts:
            raise KeysDenied(
                f"{who.name} has a role, and there is no STS beside this DynamoDB: set "
                "PACELINE_DYNAMODB__STS_ENDPOINT"
            )
        await self._check_account(who, role.account)
        sts = await self._client()
        told = await sts.assume_role(
            RoleArn=role.arn, RoleSessionName=session_name_of(who.name), DurationSeconds=SESSION_S
        )
        given = told["Credentials"]
        keys = Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return Fetched(keys, given["Expiration"].timestamp())

    async def _read(self, who: Who, profile: Profile) -> Fetched:
        """Not by the chain that a node's own credentials come from."""
        session, processes = AioSession(profile=profile.name), Processes()
        processes.start_for(session)
        with processes.ended_on_failure():
            return await self._read_by(session, who, profile)

    async def _read_by(self, session: AioSession, who: Who, profile: Profile) -> Fetched:
        found = await session.get_credentials()
        if found is None or found.method not in OF_A_PROFILE:
            raise KeysDenied(
                f"no credentials for {who.name}: the profile {profile.name} has none of its own"
            )
        frozen = await found.get_frozen_credentials()
        keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
        await self._check_account(who, await self._account_of(keys))
        return Fetched(keys, wall_time() + LOOK_S)

    async def _check_account(self, who: Who, account: str | None) -> None:
        if not self._has_sts:
            return
        if self._account is None:
            told = await (await self._client()).get_caller_identity()
            self._account = told["Account"]
        if account != self._account:
            raise KeysDenied(
                f"the credentials of {who.name} are of another AWS account than this node's, whose"
                " tables are cached here"
            )

    async def _account_of(self, keys: Keys) -> str | None:
        if not self._has_sts:
            return None
        options = {
            "aws_access_key_id": keys.access,
            "aws_secret_access_key": keys.secret,
            "aws_session_token": keys.token,
        }
        session = with_models(AioSession())
        async with session.create_client("sts", **self._options(), **options) as sts:
            account: str = (await sts.get_caller_identity())["Account"]
            return account

    async def _client(self) -> Any:
        """With the node's own credentials."""
        async with self._starting:
            if self._sts is None:
                options = self._options()
                if self._settings.credentials == "dummy":
                    options |= {
                        "aws_access_key_id": "paceline",
                        "aws_secret_access_key": "paceline",
                    }
                self._sts = await self._exit.enter_async_context(
                    with_models(AioSession()).create_client("sts", **options)
                )
        return self._sts

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "region_name": settings.region,
            "config": AioConfig(
                connect_timeout=settings.connect_timeout_s,
                read_timeout=settings.read_timeout_s,
                ignore_configured_endpoint_urls=True,
            ),
        }
        if settings.sts_endpoint:
            options["endpoint_url"] = settings.sts_endpoint
        if self._ca_file is not None:
            options["verify"] = str(self._ca_file)
        return options
