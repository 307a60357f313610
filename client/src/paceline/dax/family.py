"""Families of client libraries, told apart by their user agent: docs/dax-protocol.md section 2."""

from enum import Enum


class Family(Enum):
    PYTHON = "python"
    JS = "js"
    GO = "go"
    GO_V2 = "go v2"
    JAVA = "java"
    PACELINE = "paceline"
    UNKNOWN = "unknown"


_PREFIXES = (
    ("DaxPythonClient", Family.PYTHON),
    ("DaxJSV3Client", Family.JS),
    ("DaxJSClient", Family.JS),
    ("DaxGoClient", Family.GO),
    ("DaxGoV2Client", Family.GO_V2),
    ("DaxJavaClient", Family.JAVA),
    ("DaxJavaV2Client", Family.JAVA),
    ("Paceline", Family.PACELINE),
)


def family_of(user_agent: str) -> Family:
    """UNKNOWN for anything else: Python lets an application replace its user agent."""
    for prefix, family in _PREFIXES:
        if user_agent.startswith(prefix):
            return family
    return Family.UNKNOWN
