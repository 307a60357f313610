"""The partition of AWS that a region belongs to, as ARNs name it. Pure."""

from __future__ import annotations

from typing import Final

AWS: Final = "aws"
_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
"""By how regions begin: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html."""


def partition_of(region: str) -> str:
    return next((name for begin, name in _PARTITIONS.items() if region.startswith(begin)), AWS)
