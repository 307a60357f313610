"""Settings from a TOML file and the environment, with errors that an operator can act on."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from cluster.settings import ProgramSettings
from paceline.errors import ConfigError

S = TypeVar("S", bound=ProgramSettings)

_SECRET_BYTES_MAX = 4096
"""A secret file is a line; anything bigger is some other file."""


def config_path(program: str, argv: Sequence[str]) -> Path | None:
    """Parses a server program's command line: only ``--config FILE``."""
    parser = argparse.ArgumentParser(
        prog=program, description="Settings come from the environment (PACELINE_...) or a file."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    path: Path | None = parser.parse_args(argv).config
    return path


def load_settings(kind: type[S], path: Path | None = None) -> S:
    """Settings of one program; the environment wins over the file. ConfigError names each
    setting that is wrong."""
    if path is not None:
        _check_toml(path)

    class FromFile(kind):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

    try:
        source: Any = FromFile if path is not None else kind
        loaded: Any = source()
    except ValidationError as error:
        wrong = "; ".join(
            f"{_setting_name(e['loc'])}: {e['msg'].lower()}" for e in error.errors()[:8]
        )
        where = f" (environment or {path})" if path is not None else ""
        raise ConfigError(f"settings{where}: {wrong}") from error
    except SettingsError as error:
        raise ConfigError(f"settings: {error}; lists and maps are written as JSON") from error
    settings: Any = kind.model_construct(loaded.model_fields_set, **dict(loaded))
    return cast(S, settings)


def read_secret(settings: ProgramSettings) -> str:
    """The cluster secret, from ``secret`` or ``secret_file``; empty when neither is set."""
    if settings.secret_file is None:
        return settings.secret
    if settings.secret:
        raise ConfigError("set either PACELINE_SECRET or PACELINE_SECRET_FILE, not both")
    try:
        with open(settings.secret_file, encoding="utf-8") as file:
            text = file.read(_SECRET_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the cluster secret from {settings.secret_file} "
            f"(PACELINE_SECRET_FILE): {_reason(error)}"
        ) from error
    secret = text.strip()
    if not secret or len(text) > _SECRET_BYTES_MAX:
        raise ConfigError(
            f"{settings.secret_file} (PACELINE_SECRET_FILE) must hold one secret of 1 to "
            f"{_SECRET_BYTES_MAX} characters"
        )
    return secret


def _check_toml(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            tomllib.load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config file {path}: {_reason(error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config file {path} is not valid TOML: {error}") from error


def _setting_name(location: tuple[int | str, ...]) -> str:
    return "PACELINE_" + "__".join(str(part).upper() for part in location)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
