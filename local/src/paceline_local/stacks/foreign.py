"""Resources of other services, which nothing is made of here: what is plausible to refer to. Pure.

Their names and ids follow from the stack's name, so that they are the same each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from paceline_local.stacks.intrinsics import text_of

_IDS: Final = {
    "AWS::EC2::VPC": "vpc",
    "AWS::EC2::Subnet": "subnet",
    "AWS::EC2::SecurityGroup": "sg",
    "AWS::EC2::Instance": "i",
    "AWS::EC2::InternetGateway": "igw",
    "AWS::EC2::NatGateway": "nat",
    "AWS::EC2::RouteTable": "rtb",
}
"""Those that Ref gives an id of, and how it begins."""

_ARNS: Final = {
    "AWS::IAM::Role": "iam::{account}:role{path}{name}",
    "AWS::IAM::User": "iam::{account}:user{path}{name}",
    "AWS::IAM::ManagedPolicy": "iam::{account}:policy{path}{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{name}",
    "AWS::DynamoDB::GlobalTable": "dynamodb:{region}:{account}:table/{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::S3::Bucket": "s3:::{name}",
}
_REF_IS_ARN: Final = {"AWS::SNS::Topic", "AWS::IAM::ManagedPolicy"}
_NAMES: Final = (
    *("RoleName", "TableName", "TopicName", "UserName", "FunctionName", "BucketName"),
    *("ManagedPolicyName", "Name", "GroupName", "InstanceProfileName", "DBName"),
)


class Foreign:
    """``pseudo``: values of pseudo parameters; ``properties``: resolved."""

    def __init__(
        self,
        stack: str,
        id: str,
        kind: str,
        properties: Mapping[str, Any],
        pseudo: Mapping[str, Any],
    ) -> None:
        self._kind, self._properties, self._pseudo = kind, properties, pseudo
        digest = hashlib.sha256(f"{stack}/{id}".encode()).hexdigest()
        prefix = _IDS.get(kind)
        named = next((properties[one] for one in _NAMES if properties.get(one)), None)
        if prefix is not None:
            self._name = f"{prefix}-{digest[:17]}"
        else:
            self._name = text_of(named) if named is not None else f"{stack}-{id}-{digest[:8]}"

    def attribute(self, name: str | None) -> str:
        """None: what Ref gives."""
        if name is None:
            return self._arn() if self._kind in _REF_IS_ARN else self._name
        if name.endswith("Arn"):
            return self._arn()
        if name in ("GroupId", "VpcId", "SubnetId", "InstanceId", "Id", "RoleId"):
            given = self._properties.get(name) if name != "GroupId" else None
            return text_of(given) if given else self._name
        given = self._properties.get(name)
        if isinstance(given, str | int | float):
            return text_of(given)
        return f"{self._name}.{name}"

    def _arn(self) -> str:
        service = self._kind.split("::")[1].lower() if self._kind.count("::") > 1 else "custom"
        form = _ARNS.get(self._kind, f"{service}:{{region}}:{{account}}:{{name}}")
        path = self._properties.get("Path")
        told = form.format(
            region=self._pseudo["AWS::Region"],
            account=self._pseudo["AWS::AccountId"],
            name=self._name,
            path=path if isinstance(path, str) and path.startswith("/") else "/",
        )
        return f"arn:{self._pseudo['AWS::Partition']}:{told}"
