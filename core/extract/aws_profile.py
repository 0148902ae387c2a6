"""An AWS profile, from ``~/.aws/credentials`` and ``~/.aws/config``: obstore, which reads buckets, reads neither."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from core.errors import UsageError, quoted
from core.settings import AWS_FILES

_OPTIONS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
    "endpoint_url": "endpoint_url",
}
"""The options of a profile that are used, and what obstore calls them."""

_KEY = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Each of these decides whose credentials are used. As with AWS's own tools, it takes precedence over a profile."""

_INSTEAD = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION"), "endpoint_url": ("AWS_ENDPOINT", "AWS_ENDPOINT_URL")}
"""The variables that take precedence over an option of the profile."""


def aws_profile(variables: Mapping[str, str]) -> dict[str, str]:
    """Return obstore's options from the profile that AWS_PROFILE names, or ``default``, except those that `variables`
    set.

    Raise `UsageError` when the named profile is needed and does not exist, or has no key of its own (a role, single
    sign-on).
    """
    named, has_key = variables.get("AWS_PROFILE"), any(variables.get(name) for name in _KEY)
    name = named or "default"
    profile = _read(variables, name)
    if not has_key and named and not profile:
        raise UsageError(f"AWS_PROFILE={quoted(name)}: no such profile in {' or '.join(_files(variables).values())}")
    if not has_key and named and ("aws_access_key_id" not in profile or "role_arn" in profile):
        raise UsageError(
            f"AWS_PROFILE={quoted(name)}: this profile has no key of its own (a role, single sign-on or a process): "
            f'run eval "$(aws configure export-credentials --profile {quoted(name)} --format env)", then run again'
        )
    if has_key or "role_arn" in profile:
        profile = {option: value for option, value in profile.items() if option in _INSTEAD}
    return {
        _OPTIONS[option]: value
        for option, value in profile.items()
        if option in _OPTIONS and not any(variables.get(other) for other in _INSTEAD.get(option, ()))
    }


def _files(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables.get(name) or usual for name, usual in AWS_FILES.items()}


def _read(variables: Mapping[str, str], name: str) -> dict[str, str]:
    """Return what both files say of the profile; the credentials file takes precedence, as with AWS's own tools."""
    credentials, config = (_sections(variable, path) for variable, path in _files(variables).items())
    named = config.get(f"profile {name}") or (config.get(name, {}) if name == "default" else {})
    return {**named, **credentials.get(name, {})}


def _sections(variable: str, path: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        parser.read_string(Path(path).expanduser().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # RuntimeError: the home folder of `~` is unknown.
    except (OSError, RuntimeError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not to be read as text"
        raise UsageError(f"{path}: {reason}; check {variable}") from None
    # Its message quotes the line.
    except configparser.Error:
        raise UsageError(f"{path} is not written as AWS profiles are: [name], then lines of key = value") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}
