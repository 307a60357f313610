"""What is wrong with a template, and where. Pure."""

from __future__ import annotations

from paceline.errors import ConfigError

Path = tuple[str | int, ...]
"""Where a value is: ``("Resources", "Cache", "Properties", "SubnetIds", 0)``."""


class TemplateError(ConfigError):
    """``path``: of the value; the line is added by who has the text."""

    def __init__(self, message: str, path: Path = (), line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


def dotted(path: Path) -> str:
    return ".".join(str(one) for one in path)
