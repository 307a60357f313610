"""ARNs of the tables that requests name. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from node.requests.table_names import is_arn, table_of
from paceline.access.policies.arns import index_arn, table_arn

ANY = "*"
"""In place of a name that is not there, or is no name: of an ARN with it only patterns are like
that are about all tables."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tables are that a cluster serves."""

    region: str
    account: str
    partition: str = "aws"

    @property
    def any_table(self) -> str:
        return self.own_table(ANY)

    @property
    def any_stream(self) -> str:
        return f"{self.any_table}/stream/*"

    def own_table(self, name: str) -> str:
        return table_arn(self.partition, self.region, self.account, name)

    def global_table(self, name: object) -> str:
        named = name if isinstance(name, str) and name else ANY
        return f"arn:{self.partition}:dynamodb::{self.account}:global-table/{named}"

    def tables(self, name: object) -> tuple[str, ...]:
        """What has to be allowed for a ``TableName``.

        Of an ARN of another account or region, that and the table of the same name here: caches
        know tables by their names, and not every stand-in for DynamoDB looks at the rest.
        """
        table = table_of(name)
        if table is None:
            return (self.any_table,)
        own = self.own_table(table)
        if not isinstance(name, str) or not is_arn(name) or name == own:
            return (own,)
        return (own, name)

    def named(self, arn: object) -> tuple[str, ...]:
        """The same for a parameter that is the ARN of a table or of something of a table's: an
        index, a stream, a backup."""
        if not isinstance(arn, str) or not arn:
            return (self.any_table,)
        parts = arn.split(":", 5)
        if len(parts) < 6 or not parts[5].startswith("table/"):
            return (arn,)
        own = f"arn:{self.partition}:dynamodb:{self.region}:{self.account}:{parts[5]}"
        return (own,) if arn == own else (own, arn)


def index_of(table: str, index: object) -> str:
    """``table`` is an ARN."""
    return index_arn(table, index if isinstance(index, str) and index else ANY)
