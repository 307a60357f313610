"""Certificates for tests: an authority of one's own, and what it signs."""

from pathlib import Path

from paceline_local.certificates import Authority

__all__ = ["Authority", "write_pair"]


def write_pair(directory: Path, authority: Authority, *names: str) -> tuple[Path, Path]:
    """(certificate, key) for ``names``, in files that are made or replaced."""
    certificate, key = authority.issue(names or ("localhost", "127.0.0.1", "::1"))
    files = directory / "cert.pem", directory / "key.pem"
    for file, content in zip(files, (certificate, key), strict=True):
        temporary = file.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(file)
    return files
