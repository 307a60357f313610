"""IAM's published logic read a second time, slowly, straight from the JSON.

It shares nothing with ``paceline.access.policies``: wildcards are regular expressions, documents
are plain dicts that are known to be readable, and everything is looked at for every question.
"""

import base64
import datetime
import ipaddress
import json
import re
from fractions import Fraction
from typing import Any

MULTIVALUED = {"dynamodb:leadingkeys", "dynamodb:attributes", "aws:tagkeys"}
OF_CALLER = re.compile(r"aws:(username|userid|principalarn|principaltag/.*)", re.DOTALL)

NOTHING = object()
"""What a variable without a value stands for."""


def decide(
    caller: dict[str, Any],
    identity: list[str],
    session: list[str] | None,
    table: list[str],
    action: str,
    resource: str,
    context: dict[str, list[str]],
) -> str:
    """``caller``: name, arn, tags. Documents are texts."""
    known = {k.lower(): v for k, v in context.items() if not OF_CALLER.fullmatch(k.lower())}
    known["aws:username"] = known["aws:userid"] = [caller["name"]]
    known["aws:principalarn"] = [caller["arn"]]
    for tag, value in caller["tags"].items():
        known["aws:principaltag/" + tag.lower()] = [value]

    def effects(documents: list[str]) -> set[str]:
        found = set()
        for text in documents:
            document = json.loads(text)
            statements = document["Statement"]
            for one in statements if isinstance(statements, list) else [statements]:
                variables = document.get("Version") == "2012-10-17"
                if applies(one, variables, caller, action, resource, known):
                    found.add(one["Effect"])
        return found

    if "Deny" in effects(identity) | effects(session or []) | effects(table):
        return "explicitly denied"
    allowed = "Allow" in effects(identity) or "Allow" in effects(table)
    if session is not None and "Allow" not in effects(session):
        allowed = False
    return "allowed" if allowed else "implicitly denied"


def several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def applies(
    statement: dict[str, Any],
    variables: bool,
    caller: dict[str, Any],
    action: str,
    resource: str,
    context: dict[str, list[str]],
) -> bool:
    if "Principal" in statement and not is_named(statement, caller["arn"], resource):
        return False
    wanted = "Action" if "Action" in statement else "NotAction"
    hit = False
    for pattern in several(statement[wanted]):
        hit = hit or bool(re.fullmatch(like(pattern.lower()), action.lower(), re.DOTALL))
    if hit != (wanted == "Action"):
        return False
    wanted = "Resource" if "Resource" in statement else "NotResource"
    hit = False
    for pattern in several(statement[wanted]):
        hit = hit or is_resource(pattern, variables, resource, context)
    if hit != (wanted == "Resource"):
        return False
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in several(values)]
            if not holds(operator, key.lower(), texts, variables, context):
                return False
    return True


def is_named(statement: dict[str, Any], arn: str, resource: str) -> bool:
    principal = statement["Principal"]
    names = several(principal["AWS"]) if isinstance(principal, dict) else [principal]
    accounts = [one.split(":")[4] for one in (arn, resource) if one.count(":") >= 5]
    for name in names:
        if name in ("*", arn):
            return True
        of_account = any(name in (one, f"arn:aws:iam::{one}:root") for one in accounts)
        if of_account and statement["Effect"] == "Deny":
            return True
    return False


def like(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)


def substituted(text: str, variables: bool, context: dict[str, list[str]]) -> list[Any]:
    """Single characters, wildcards as (character,), NOTHING for what has no value."""
    found: list[Any] = []
    while text:
        match = re.match(r"\$\{([^}]*)\}", text) if variables else None
        if match is None:
            found.append((text[0],) if text[0] in "*?" else text[0])
            text = text[1:]
            continue
        inside = match.group(1)
        if inside in ("*", "?", "$"):
            found.append(inside)
        else:
            key, comma, default = inside.partition(",")
            values = context.get(key.strip().lower(), [])
            if key.strip().lower() not in MULTIVALUED and len(values) == 1 and values[0]:
                found += values[0]
            elif comma:
                found += default.strip()[1:-1]
            else:
                found.append(NOTHING)
        text = text[match.end() :]
    return found


def is_resource(
    pattern: str, variables: bool, resource: str, context: dict[str, list[str]]
) -> bool:
    tokens = substituted(pattern, variables, context)
    if NOTHING in tokens:
        return False
    regex = ""
    colons = 0
    for index, token in enumerate(tokens):
        ends = index + 1 == len(tokens) or tokens[index + 1] == ":"
        if token == ("*",):
            regex += ".*" if ends or colons == 5 else "[^:]*"
        elif token == ("?",):
            regex += "." if colons == 5 else "[^:]"
        else:
            regex += re.escape(token)
            colons = min(5, colons + (token == ":"))
    return bool(re.fullmatch(regex, resource, re.DOTALL))


def holds(
    operator: str, key: str, values: list[str], variables: bool, context: dict[str, list[str]]
) -> bool:
    given = context.get(key, [])
    null = all(value == "" for value in given)
    if operator == "Null":
        return ("true" if null else "false") in [value.lower() for value in values]
    prefix, _, base = operator.rpartition(":")
    if_exists = base.endswith("IfExists")
    base = base.removesuffix("IfExists")

    def one(value: str) -> bool:
        matches = any(compare(base, value, v, variables, context) for v in values)
        return not matches if "Not" in base else matches

    if prefix == "ForAllValues":
        return null or all(one(value) for value in given)
    if prefix == "ForAnyValue":
        return if_exists if null else any(one(value) for value in given)
    if not given:
        return if_exists or "Not" in base
    if key in MULTIVALUED or len(given) > 1:
        return False
    return one(given[0])


def compare(
    base: str, given: str, value: str, variables: bool, context: dict[str, list[str]]
) -> bool:
    """Without the negation."""
    base = base.replace("Not", "")
    if base.startswith(("String", "Arn")):
        tokens = substituted(value, variables, context)
        if NOTHING in tokens:
            return False
        if base.startswith("Arn"):
            return arn_like(tokens, given)
        if base == "StringLike":
            wild = {("*",): ".*", ("?",): "."}
            regex = "".join(wild.get(t) or re.escape(t) for t in tokens)
            return bool(re.fullmatch(regex, given, re.DOTALL))
        text = "".join(t[0] for t in tokens)
        if base == "StringEqualsIgnoreCase":
            return text.lower() == given.lower()
        return text == given
    if base == "Bool":
        return given.lower() == value.lower()
    if base == "BinaryEquals":
        try:
            return base64.b64decode(given, validate=True) == base64.b64decode(value)
        except ValueError:
            return False
    if base == "IpAddress":
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            return False
        return address in ipaddress.ip_network(value, strict=False)
    convert = number if base.startswith("Numeric") else moment
    left, right = convert(given), convert(value)
    if left is None or right is None:
        return False
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[base.removeprefix("Numeric").removeprefix("Date")]


def arn_like(tokens: list[Any], given: str) -> bool:
    parts: list[list[Any]] = [[]]
    for token in tokens:
        if token == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(token)
    if tokens == [("*",)]:
        parts = [tokens] * 6
    pieces = given.split(":", 5)
    if len(parts) != 6 or len(pieces) != 6:
        return False
    wild = {("*",): ".*", ("?",): "."}
    return all(
        re.fullmatch("".join(wild.get(t) or re.escape(t) for t in part), piece, re.DOTALL)
        for part, piece in zip(parts, pieces, strict=True)
    )


def number(text: str) -> Fraction | None:
    try:
        return Fraction(text) if "/" not in text else None
    except ValueError:
        return None


def moment(text: str) -> Fraction | None:
    if re.fullmatch(r"\d{4}-.*", text):
        try:
            found = datetime.datetime.fromisoformat(text)
        except ValueError:
            return None
        if found.tzinfo is None:
            found = found.replace(tzinfo=datetime.UTC)
        since = found - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return Fraction(since // datetime.timedelta(microseconds=1), 1_000_000)
    return number(text)
