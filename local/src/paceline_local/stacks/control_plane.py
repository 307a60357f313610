"""Asks discovery's control plane, by botocore's client of DAX.

botocore is imported when a client is made. A request is sent once: what is not answered is told as
an unknown outcome, for the next plan looks at what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from paceline.errors import ConfigError, OutcomeUnknown, PacelineError, Unavailable
from paceline_local.stacks.kinds import CLUSTER, PARAMETER_GROUP, SUBNET_GROUP
from paceline_local.stacks.planning import Here, Live, Lives
from paceline_local.stacks.record import Note, note_of

CALL_S: Final = 30.0
"""Longer than discovery takes for a change."""
PAGES_MAX: Final = 20


class Refused(PacelineError):
    """``code``: the error's name; nothing was changed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def client_of(endpoint: str, region: str | None) -> Any:
    """Signed by the credentials that botocore finds, and by none if it finds none. ConfigError."""
    import botocore.config  # noqa: PLC0415 - see the module
    import botocore.exceptions  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415
    from botocore import UNSIGNED  # noqa: PLC0415

    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{endpoint} is no address of the control plane: http://HOST:8113")
    try:
        session = botocore.session.Session()
        signed = session.get_credentials() is not None
        return session.create_client(
            "dax",
            endpoint_url=endpoint,
            region_name=region or session.get_config_variable("region") or "us-east-1",
            config=botocore.config.Config(
                signature_version=None if signed else UNSIGNED,
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=CALL_S,
            ),
        )
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise ConfigError(str(error)) from error


class ControlPlane:
    """``client``: botocore's, of DAX."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._here: Here | None = None

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Refused, Unavailable, OutcomeUnknown, ConfigError."""
        import botocore.exceptions as e  # noqa: PLC0415 - see the module

        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
            return answer
        except e.ParamValidationError as error:
            raise ConfigError(f"{operation}: {error}") from None
        except e.ClientError as error:
            told = error.response["Error"]
            code, message = told.get("Code", ""), told.get("Message", "")
            if code == "InternalFailure" or not code:
                raise OutcomeUnknown(f"{operation}: {message}") from None
            if code == "ServiceUnavailableException":
                raise Unavailable(f"{operation}: {message}") from None
            raise Refused(code, message) from None
        except (e.EndpointConnectionError, e.ConnectTimeoutError, e.NoCredentialsError) as error:
            raise Unavailable(f"{error} (is the cluster running?)") from None
        except (e.BotoCoreError, e.HTTPClientError) as error:
            if operation.startswith(("describe_", "list_")):
                raise Unavailable(f"{operation}: {error}") from None
            raise OutcomeUnknown(f"{operation}: {error}; look whether it was done") from None

    def clusters(self) -> list[dict[str, Any]]:
        """All of them, as DAX tells them."""
        return list(self._pages("describe_clusters", "Clusters"))

    def look(self) -> tuple[Here, Lives]:
        """All that is there."""
        lives: dict[tuple[str, str], Live] = {}
        clusters = self.clusters()
        self._here = here_of(clusters)
        for one in clusters:
            tags = list(self._pages("list_tags", "Tags", ResourceName=one["ClusterArn"]))
            lives[CLUSTER.type, one["ClusterName"]] = _cluster(one, tags)
        for one in self._pages("describe_subnet_groups", "SubnetGroups"):
            subnets = [each["SubnetIdentifier"] for each in one["Subnets"]]
            told = {"Description": one.get("Description", ""), "SubnetIds": subnets}
            lives[SUBNET_GROUP.type, one["SubnetGroupName"]] = Live(told)
        for one in self._pages("describe_parameter_groups", "ParameterGroups"):
            name = one["ParameterGroupName"]
            found = self._pages("describe_parameters", "Parameters", ParameterGroupName=name)
            values = {
                each["ParameterName"]: each["ParameterValue"]
                for each in found
                if each.get("Source") == "user"
            }
            lives[PARAMETER_GROUP.type, name] = Live({"ParameterNameValues": values})
        return self._here, lives

    def cluster(self, name: str) -> dict[str, Any] | None:
        """As DAX tells it; None: it is not there."""
        try:
            found = self.call("describe_clusters", ClusterNames=[name])["Clusters"]
        except Refused as refused:
            if refused.code == "ClusterNotFoundFault":
                return None
            raise
        return found[0] if found else None

    def notes(self, stack: str) -> dict[str, Note]:
        found = self._pages("list_tags", "Tags", ResourceName=self._arn(stack))
        return {one["Key"]: note_of(one["Value"], stack, one["Key"]) for one in found}

    def note(self, stack: str, id: str, note: Note) -> None:
        tag = {"Key": id, "Value": note.to_text()}
        self.call("tag_resource", ResourceName=self._arn(stack), Tags=[tag])

    def forget(self, stack: str, id: str) -> None:
        try:
            self.call("untag_resource", ResourceName=self._arn(stack), TagKeys=[id])
        except Refused as refused:
            if refused.code != "TagNotFoundFault":
                raise

    def _arn(self, stack: str) -> str:
        assert self._here is not None, "it was looked before"
        return self._here.arn("stack", stack)

    def _pages(self, operation: str, entries: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            told = self.call(operation, **parameters, **token)
            yield from told.get(entries, ())
            if not told.get("NextToken"):
                return
            token = {"NextToken": told["NextToken"]}
        raise PacelineError(f"{operation}: more than {PAGES_MAX} pages")


def here_of(clusters: list[dict[str, Any]]) -> Here:
    """By the ARN of any cluster, for one is always there. PacelineError."""
    if not clusters:
        raise PacelineError("the control plane tells of no cluster")
    parts = clusters[0]["ClusterArn"].split(":")
    zones = {node["AvailabilityZone"] for one in clusters for node in one.get("Nodes", ())}
    return Here(parts[1], parts[3], parts[4], tuple(sorted(zones)))


def _cluster(one: Mapping[str, Any], tags: list[dict[str, Any]]) -> Live:
    notified = one.get("NotificationConfiguration") or {}
    endpoint = one.get("ClusterDiscoveryEndpoint") or {}
    properties = {
        "NodeType": one["NodeType"],
        "ReplicationFactor": one["TotalNodes"],
        "Description": one.get("Description", ""),
        "SubnetGroupName": one["SubnetGroup"],
        "SecurityGroupIds": [
            each["SecurityGroupIdentifier"] for each in one.get("SecurityGroups", ())
        ],
        "PreferredMaintenanceWindow": one["PreferredMaintenanceWindow"],
        "NotificationTopicARN": notified["TopicArn"]
        if notified.get("TopicStatus") == "active"
        else "",
        "ParameterGroupName": one["ParameterGroup"]["ParameterGroupName"],
        "Tags": {tag["Key"]: tag.get("Value", "") for tag in tags},
    }
    attributes = {}
    if endpoint.get("Address"):
        attributes = {
            "ClusterDiscoveryEndpoint": f"{endpoint['Address']}:{endpoint['Port']}",
            "ClusterDiscoveryEndpointURL": endpoint["URL"],
        }
    return Live(properties, attributes, one["Status"] == "create-failed")
