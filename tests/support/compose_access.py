"""What a client of the compose file's cluster needs, fetched as docs/docker.md tells."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config
from botocore.credentials import Credentials

REGION = "us-east-1"
PRINCIPAL = "compose"
_DOCS = Path(__file__).parents[2] / "docs" / "docker.md"


@dataclass(frozen=True)
class Access:
    key_id: str
    secret: str
    ca: Path

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.key_id, self.secret)

    @property
    def options(self) -> dict[str, str]:
        """Of boto3, and of clients that are made alike."""
        return {
            "region_name": REGION,
            "aws_access_key_id": self.key_id,
            "aws_secret_access_key": self.secret,
        }

    def boto3(self, service: str, endpoint: str) -> Any:
        """A client that tries once."""
        return boto3.client(
            service,
            endpoint_url=endpoint,
            verify=str(self.ca),
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, proxies={}
            ),
            **self.options,  # type: ignore[arg-type]
        )


def documented() -> list[tuple[str, list[str]]]:
    """(service, command in it) of each ``docker compose exec`` by which keys are fetched."""
    found = re.findall(
        r"docker compose exec -T (\S+) (cat /run/paceline-clients/\S+?)[\s)\"]", _DOCS.read_text()
    )
    assert len(found) >= 2, "docs/docker.md tells how to fetch the CA and the key"
    return [(service, command.split()) for service, command in dict.fromkeys(found)]


def fetched(execute: Callable[[str, list[str]], str], directory: Path) -> Access:
    """``execute``: the output of a command in a service's container. ``directory``: for the files;
    the exports are given to a shell."""
    directory.mkdir(exist_ok=True)
    for service, command in documented():
        name = {"ca.pem": "paceline-ca.pem"}.get(Path(command[-1]).name, Path(command[-1]).name)
        (directory / name).write_text(execute(service, command))
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE")
    told = subprocess.run(
        ["sh", "-c", f'eval "$(cat env)"; printf "%s\\n" {" ".join(f"${n}" for n in names)}'],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told[2] == REGION
    return Access(told[0], told[1], Path(told[3]))
