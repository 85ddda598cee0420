"""The settings of a Provider of this driver, checked before anything is called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint

KNOWN = frozenset(
    {
        "roleArn",
        "externalId",
        "sessionName",
        "serviceRoleArn",
        "endpointUrl",
        "templateBucket",
        "databaseCaBundle",
    }
)

_ROLE_ARN = re.compile(r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$")
_SESSION_NAME = re.compile(r"^[\w+=,.@-]{2,64}$")
_EXTERNAL_ID = re.compile(r"^[\w+=,.@:/-]{2,1224}$")
_REGION = re.compile(r"^[a-z]{2,}(-[a-z]+)+-\d+$")
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Static credentials. Never printed."""

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where and as whom we speak to AWS."""

    region: str
    access_key: AccessKey | None
    """None: the process's own credentials."""
    role_arn: str = ""
    external_id: str = ""
    session_name: str = "isthmus"
    service_role_arn: str = ""
    endpoint_url: str = ""
    template_bucket: str = ""
    database_ca_bundle: str = ""
    installation: str = ""


def parse(endpoint: Endpoint) -> Settings:
    """Read a Provider's settings.

    Raises:
        InvalidSpec: Names the first wrong field and what would be right.
    """
    given = endpoint.settings
    if unknown := sorted(set(given) - KNOWN):
        raise InvalidSpec(
            f"spec.settings.{unknown[0]}: unknown to driver aws; known are: "
            f"{', '.join(sorted(KNOWN))}."
        )
    if not _REGION.fullmatch(endpoint.region):
        raise InvalidSpec("spec.region: write an AWS region, for example eu-central-1.")
    for name, pattern, example in (
        ("roleArn", _ROLE_ARN, "arn:aws:iam::123456789012:role/isthmus"),
        ("serviceRoleArn", _ROLE_ARN, "arn:aws:iam::123456789012:role/isthmus-stacks"),
        ("sessionName", _SESSION_NAME, "isthmus"),
        ("externalId", _EXTERNAL_ID, "6f0c1a52"),
        ("templateBucket", _BUCKET, "isthmus-templates"),
    ):
        if given.get(name) and not pattern.fullmatch(given[name]):
            raise InvalidSpec(f"spec.settings.{name}: write it like {example}.")
    if given.get("externalId") and not given.get("roleArn"):
        raise InvalidSpec("spec.settings.externalId: it belongs to a role; set roleArn as well.")
    return Settings(
        region=endpoint.region,
        access_key=_access_key(endpoint.credentials),
        role_arn=given.get("roleArn", ""),
        external_id=given.get("externalId", ""),
        session_name=given.get("sessionName", "") or "isthmus",
        service_role_arn=given.get("serviceRoleArn", ""),
        endpoint_url=_endpoint_url(given.get("endpointUrl", "")),
        template_bucket=given.get("templateBucket", ""),
        database_ca_bundle=_pem(given.get("databaseCaBundle", "")),
        installation=endpoint.installation,
    )


def _endpoint_url(url: str) -> str:
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSpec("spec.settings.endpointUrl: write a URL like http://127.0.0.1:4566.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise InvalidSpec(
            "spec.settings.endpointUrl: http would send credentials in clear text; use https, "
            "or http on loopback."
        )
    return url.rstrip("/")


def _pem(text: str) -> str:
    if text and "-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidSpec("spec.settings.databaseCaBundle: write certificates as PEM text.")
    return text


def _access_key(credentials: Mapping[str, str]) -> AccessKey | None:
    if not credentials:
        return None
    for needed in ("access-key-id", "secret-access-key"):
        if not credentials.get(needed):
            raise InvalidSpec(
                f"spec.credentialsSecret: key {needed!r} is missing; the Secret holds "
                "access-key-id, secret-access-key and, for temporary ones, session-token."
            )
    return AccessKey(
        id=credentials["access-key-id"].strip(),
        secret=credentials["secret-access-key"].strip(),
        session_token=credentials.get("session-token", "").strip(),
    )
