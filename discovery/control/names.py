"""ARNs, and what names and other texts may look like. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from discovery.control.faults import fault, invalid

CLUSTER_NAME_CHARACTERS_MAX = 20
GROUP_NAME_CHARACTERS_MAX = 255
DESCRIPTION_CHARACTERS_MAX = 255
SECURITY_GROUPS_MAX = 16
WINDOW_MIN = 60
"""A maintenance window's shortest, in minutes."""

_CLUSTER_NAME = re.compile(r"[A-Za-z](-?[A-Za-z0-9])*")
_GROUP_NAME = re.compile(r"[A-Za-z]([-.]?[A-Za-z0-9])*")
_SECURITY_GROUP = re.compile(r"sg-[A-Za-z0-9-]{1,64}")
_SUBNET = re.compile(r"subnet-[A-Za-z0-9-]{1,64}")
_ARN = re.compile(r"arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):([0-9]*):(\S{1,1024})")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[A-Za-z0-9-]{0,64}:role/\S{1,576}")
_WINDOW = re.compile(
    r"(mon|tue|wed|thu|fri|sat|sun):([01]\d|2[0-3]):([0-5]\d)"
    r"-(mon|tue|wed|thu|fri|sat|sun):([01]\d|2[0-3]):([0-5]\d)"
)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK_MIN = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class Place:
    """Whose and where the cluster is, by what ARNs say of it. ``cluster``: its name."""

    cluster: str
    region: str
    account: str
    partition: str = "aws"

    def is_named(self, text: str) -> bool:
        """Whether it is the name of the cluster that is here. Denied: it is the name of none."""
        return text.lower() == self.cluster or cluster_name(text) == self.cluster

    def arn(self, cluster: str) -> str:
        return f"arn:{self.partition}:dax:{self.region}:{self.account}:cache/{cluster}"

    def cluster_of(self, arn: str) -> str:
        """The name of the cluster. Denied: it is no ARN of a cluster that could be here."""
        prefix = self.arn("")
        name = arn.removeprefix(prefix)
        is_name = name.lower() == self.cluster or _CLUSTER_NAME.fullmatch(name)
        if not arn.startswith(prefix) or not is_name:
            raise fault(
                "InvalidARNFault",
                f"{arn[:256]} is no ARN of a cluster here; they are {prefix}NAME",
            )
        return name.lower()


def cluster_name(text: str) -> str:
    """In small letters, as it is stored. Denied."""
    if not _CLUSTER_NAME.fullmatch(text) or len(text) > CLUSTER_NAME_CHARACTERS_MAX:
        raise invalid(
            "Cluster ID specified is not a valid identifier. Identifiers must begin with a letter;"
            " must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen"
            f" or contain two consecutive hyphens; they have at most {CLUSTER_NAME_CHARACTERS_MAX}"
            " characters."
        )
    return text.lower()


def group_name(text: str, what: str) -> str:
    """Denied. ``what``: the parameter's name."""
    if not _GROUP_NAME.fullmatch(text) or len(text) > GROUP_NAME_CHARACTERS_MAX:
        raise invalid(
            f"The parameter {what} is not a valid identifier. Identifiers must begin with a letter;"
            " must contain only ASCII letters, digits, hyphens and dots; and must not end with a"
            " hyphen or contain two consecutive hyphens."
        )
    return text


def description(text: str) -> str:
    """Denied."""
    if len(text) > DESCRIPTION_CHARACTERS_MAX or not text.isprintable():
        raise invalid(
            f"The parameter Description must be at most {DESCRIPTION_CHARACTERS_MAX} printable"
            " characters."
        )
    return text


def security_groups(ids: list[str]) -> tuple[str, ...]:
    """Denied."""
    if not 1 <= len(ids) <= SECURITY_GROUPS_MAX:
        raise invalid(
            f"The parameter SecurityGroupIds must have 1 to {SECURITY_GROUPS_MAX} entries."
        )
    for one in ids:
        if not _SECURITY_GROUP.fullmatch(one):
            raise invalid(f"Invalid security group: {one[:64]}; identifiers begin with sg-.")
    return tuple(dict.fromkeys(ids))


def subnets(ids: list[str]) -> tuple[str, ...]:
    """Denied."""
    for one in ids:
        if not _SUBNET.fullmatch(one):
            raise fault(
                "InvalidSubnet", f"Invalid subnet: {one[:64]}; identifiers begin with subnet-."
            )
    return tuple(dict.fromkeys(ids))


def topic(arn: str) -> str:
    """Denied."""
    found = _ARN.fullmatch(arn)
    if found is None or found[2] != "sns":
        raise invalid(
            f"Invalid notification topic ARN: {arn[:256]}; one of Amazon SNS is expected."
        )
    return arn


def iam_role(arn: str) -> str:
    """Nodes take on no role, so the account may be what a tutorial writes in its place. Denied."""
    if not _ROLE.fullmatch(arn):
        raise invalid(
            f"Invalid IAM role ARN: {arn[:256]}; arn:aws:iam::ACCOUNT:role/NAME expected."
        )
    return arn


def window(text: str) -> str:
    """A maintenance window, in small letters. Denied."""
    small = text.lower()
    found = _WINDOW.fullmatch(small)
    if found is None:
        raise invalid(
            f"Invalid maintenance window: {text[:64]}; it is ddd:hh24:mi-ddd:hh24:mi in UTC, as in"
            " sun:05:00-sun:09:00."
        )
    begin, end = (_minute(*found.group(at, at + 1, at + 2)) for at in (1, 4))
    if (end - begin) % _WEEK_MIN < WINDOW_MIN:
        raise invalid(f"A maintenance window has at least {WINDOW_MIN} minutes.")
    return small


def _minute(day: str, hour: str, minute: str) -> int:
    return (_DAYS.index(day) * 24 + int(hour)) * 60 + int(minute)
