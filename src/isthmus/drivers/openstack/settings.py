"""The settings and credentials of a Provider of this driver, checked before anything is called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint

KNOWN = frozenset(
    {
        "authUrl",
        "projectId",
        "projectName",
        "projectDomainName",
        "interface",
        "caBundle",
        "rollback",
        "timeoutMinutes",
        "stallMinutes",
    }
)
_PROJECT = ("projectId", "projectName", "projectDomainName")
_INTERFACES = ("public", "internal", "admin")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_REGION = re.compile(r"^[\w.-]{1,255}$")
_DEFAULT_DOMAIN = "Default"
_LONGEST_MINUTES = 1440

_APPLICATION: Final = "application-credential-"
_PASSWORD_KEYS: Final = ("username", "password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to Keystone: the arguments of keystoneauth's plug-in. Never printed."""

    method: str
    """``application_credential`` or ``password``."""
    arguments: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where and as whom we speak to OpenStack."""

    auth_url: str
    region: str
    identity: Identity
    interface: str = "public"
    ca_bundle: str = ""
    """PEM text; empty: the system's authorities."""
    rollback: bool = False
    """Whether Heat undoes what failed. Off: what failed stays and is gone on with."""
    timeout_minutes: int = 60
    stall_minutes: int = 10
    """After how long without any event Heat is taken to have lost what it was doing."""
    installation: str = ""


def parse(endpoint: Endpoint) -> Settings:
    """Read a Provider's settings and credentials.

    Raises:
        InvalidSpec: Names the first wrong field and what would be right.
    """
    given = endpoint.settings
    if unknown := sorted(set(given) - KNOWN):
        raise InvalidSpec(
            f"spec.settings.{unknown[0]}: unknown to driver openstack; known are: "
            f"{', '.join(sorted(KNOWN))}."
        )
    if not _REGION.fullmatch(endpoint.region):
        raise InvalidSpec("spec.region: write the region's name as in the service catalog.")
    interface = given.get("interface") or "public"
    if interface not in _INTERFACES:
        raise InvalidSpec(f"spec.settings.interface: write one of {', '.join(_INTERFACES)}.")
    return Settings(
        auth_url=_auth_url(given.get("authUrl", "")),
        region=endpoint.region,
        identity=_identity(endpoint.credentials, given),
        interface=interface,
        ca_bundle=_pem(given.get("caBundle", "")),
        rollback=_boolean("rollback", given.get("rollback", "")),
        timeout_minutes=_minutes("timeoutMinutes", given, 60),
        stall_minutes=_minutes("stallMinutes", given, 10),
        installation=endpoint.installation,
    )


def _auth_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSpec(
            "spec.settings.authUrl: write Keystone's address, like https://keystone.example/v3."
        )
    if parts.username or parts.password:
        raise InvalidSpec("spec.settings.authUrl: credentials belong into the Secret.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise InvalidSpec(
            "spec.settings.authUrl: http would send credentials in clear text; use https, or http "
            "on loopback."
        )
    trimmed = url.rstrip("/")
    return trimmed if trimmed.endswith("/v3") else f"{trimmed}/v3"


def _pem(text: str) -> str:
    if text and "-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidSpec("spec.settings.caBundle: write certificates as PEM text.")
    return text


def _boolean(name: str, text: str) -> bool:
    if text not in ("", "true", "false"):
        raise InvalidSpec(f"spec.settings.{name}: write true or false.")
    return text == "true"


def _minutes(name: str, given: Mapping[str, str], default: int) -> int:
    text = given.get(name) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= _LONGEST_MINUTES:
        raise InvalidSpec(
            f"spec.settings.{name}: write whole minutes from 1 to {_LONGEST_MINUTES}."
        )
    return int(text)


def _identity(credentials: Mapping[str, str], given: Mapping[str, str]) -> Identity:
    values = {key: value.strip() for key, value in credentials.items() if value.strip()}
    if any(key.startswith(_APPLICATION) for key in values):
        return _application(values, given)
    for needed in _PASSWORD_KEYS:
        if needed not in values:
            raise InvalidSpec(
                f"spec.credentialsSecret: key {needed!r} is missing; the Secret holds "
                "application-credential-id and application-credential-secret, or username and "
                "password."
            )
    if not given.get("projectId") and not given.get("projectName"):
        raise InvalidSpec("spec.settings.projectId: with a password, name the project here.")
    arguments = {key: values[key] for key in _PASSWORD_KEYS}
    arguments["user_domain_name"] = values.get("user-domain-name", _DEFAULT_DOMAIN)
    if given.get("projectId"):
        arguments["project_id"] = given["projectId"]
    else:
        arguments["project_name"] = given["projectName"]
        arguments["project_domain_name"] = given.get("projectDomainName") or _DEFAULT_DOMAIN
    return Identity(method="password", arguments=arguments)


def _application(values: Mapping[str, str], given: Mapping[str, str]) -> Identity:
    """Read an application credential: by its id, or by its name and whose it is."""
    for setting in _PROJECT:
        if given.get(setting):
            raise InvalidSpec(
                f"spec.settings.{setting}: leave it out; an application credential is bound to "
                "its project."
            )
    secret = f"{_APPLICATION}secret"
    if secret not in values:
        raise InvalidSpec(f"spec.credentialsSecret: key {secret!r} is missing.")
    arguments = {"application_credential_secret": values[secret]}
    if f"{_APPLICATION}id" in values:
        arguments["application_credential_id"] = values[f"{_APPLICATION}id"]
        return Identity(method="application_credential", arguments=arguments)
    if f"{_APPLICATION}name" not in values or "username" not in values:
        raise InvalidSpec(
            "spec.credentialsSecret: name the application credential by application-credential-id, "
            "or by application-credential-name and username."
        )
    arguments["application_credential_name"] = values[f"{_APPLICATION}name"]
    arguments["username"] = values["username"]
    arguments["user_domain_name"] = values.get("user-domain-name", _DEFAULT_DOMAIN)
    return Identity(method="application_credential", arguments=arguments)
