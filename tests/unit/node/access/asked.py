"""Tables of which something is known, and needs in a form that is easy to compare."""

from typing import Any

from node.access.need import Need
from node.access.needs import needs
from node.access.places import Place
from node.tables.table_info import IndexInfo, TableInfo
from paceline.types import KeyAttribute, KeySchema

PLACE = Place("us-east-1", "123456789012")
USERS = "arn:aws:dynamodb:us-east-1:123456789012:table/Users"
PLAYS = "arn:aws:dynamodb:us-east-1:123456789012:table/Plays"
ANY = "arn:aws:dynamodb:us-east-1:123456789012:table/*"

ADA = {"id": {"S": "ada"}}

TEAM = KeySchema(KeyAttribute("team", "S"))
TABLES = {
    "Users": TableInfo(
        "Users",
        KeySchema(KeyAttribute("id", "S")),
        "1",
        "ACTIVE",
        {
            "byTeam": IndexInfo("GSI", TEAM),
            "byBoth": IndexInfo("GSI", TEAM, compound=True),
        },
    ),
    "Plays": TableInfo(
        "Plays",
        KeySchema(KeyAttribute("game", "N"), KeyAttribute("at", "S")),
        "2",
        "ACTIVE",
        {"byScore": IndexInfo("LSI", KeySchema(KeyAttribute("game", "N")))},
    ),
    "Blobs": TableInfo("Blobs", KeySchema(KeyAttribute("hash", "B")), "3", "ACTIVE", {}),
}


def asked(operation: str, **params: Any) -> list[Need]:
    return list(needs(operation, params, PLACE, TABLES.get))


def told(need: Need) -> dict[str, Any]:
    """The context by the last part of each key; one value instead of several where there is one."""
    short = {key.partition(":")[2]: list(values) for key, values in need.facts.context.items()}
    short.pop("enclosingoperation", None)
    alone = {"select", "returnvalues", "returnconsumedcapacity", "fulltablescan"}
    return {key: values[0] if key in alone else values for key, values in short.items()}


def only(operation: str, **params: Any) -> Need:
    (need,) = asked(operation, **params)
    return need


def pair(need: Need) -> tuple[str, str]:
    return need.action, need.resource
