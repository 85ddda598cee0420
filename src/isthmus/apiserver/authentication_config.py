"""Which issuers of OpenID Connect tokens are trusted: Kubernetes' `AuthenticationConfiguration`.

What of it needs the Common Expression Language is refused rather than ignored.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.apiserver.configuration import InvalidConfiguration, fields, listed, read

_KIND = "AuthenticationConfiguration"
_ABSENT = object()
_ISSUER = frozenset(
    ("url", "discoveryURL", "audiences", "audienceMatchPolicy", "certificateAuthority")
)
_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of tokens, and how its claims become a user.

    Attributes:
        url: The `iss` claim; keys are found below it.
        audiences: One of them must be in the `aud` claim.
        ca_pem: What its TLS certificate is checked against; empty: what the system trusts.
        discovery_url: Where its keys are looked up, when not below `url`.
        username_claim: Names the user.
        username_prefix: Put before the name, so that it cannot be that of somebody else.
        groups_claim: Names the groups; empty: nobody gets any.
        groups_prefix: Put before each group.
        required: Claims that must have these values.
    """

    url: str
    audiences: tuple[str, ...]
    ca_pem: str = ""
    discovery_url: str = ""
    username_claim: str
    username_prefix: str
    groups_claim: str = ""
    groups_prefix: str = ""
    required: tuple[tuple[str, str], ...] = ()

    @property
    def configuration_url(self) -> str:
        """Address of the issuer's discovery document."""
        return self.discovery_url or self.url.rstrip("/") + "/.well-known/openid-configuration"


def load(path: Path) -> tuple[Issuer, ...]:
    """Read a file.

    Raises:
        InvalidConfiguration: It cannot be read, or asks for what is not there.
    """
    try:
        content = read(path, _VERSIONS, _KIND)
        fields("", content, frozenset(("apiVersion", "kind", "jwt")))
        found = [_issuer(f"jwt[{i}]", one) for i, one in enumerate(listed("", content, "jwt"))]
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{path}: {error}") from error
    if len({issuer.url for issuer in found}) < len(found):
        raise InvalidConfiguration(f"{path}: jwt: an issuer.url stands there twice")
    return tuple(found)


def _issuer(at: str, entry: Any) -> Issuer:
    found = fields(at, entry, frozenset(("issuer", "claimMappings", "claimValidationRules")))
    about = fields(f"{at}.issuer", found.get("issuer"), _ISSUER)
    audiences = tuple(map(str, listed(f"{at}.issuer", about, "audiences")))
    if not audiences:
        raise InvalidConfiguration(f"{at}.issuer.audiences: name at least one, the client's id")
    if len(audiences) > 1 and about.get("audienceMatchPolicy") != "MatchAny":
        raise InvalidConfiguration(f"{at}.issuer.audienceMatchPolicy: must be MatchAny")
    mappings = fields(
        f"{at}.claimMappings", found.get("claimMappings"), frozenset(("username", "groups"))
    )
    username = _mapping(f"{at}.claimMappings.username", mappings.get("username"))
    groups = mappings.get("groups") and _mapping(f"{at}.claimMappings.groups", mappings["groups"])
    rules = listed(at, found, "claimValidationRules")
    return Issuer(
        url=_https(f"{at}.issuer.url", about.get("url")),
        discovery_url=_https(f"{at}.issuer.discoveryURL", about.get("discoveryURL", _ABSENT)),
        audiences=audiences,
        ca_pem=str(about.get("certificateAuthority") or ""),
        username_claim=username[0],
        username_prefix=username[1],
        groups_claim=groups[0] if groups else "",
        groups_prefix=groups[1] if groups else "",
        required=tuple(
            _rule(f"{at}.claimValidationRules[{i}]", rule) for i, rule in enumerate(rules)
        ),
    )


def _mapping(at: str, entry: Any) -> tuple[str, str]:
    found = fields(at, entry, frozenset(("claim", "prefix")))
    if not found.get("claim"):
        raise InvalidConfiguration(f"{at}.claim: name the claim")
    if not isinstance(found.get("prefix"), str):
        raise InvalidConfiguration(f'{at}.prefix: give one, or "" when names cannot clash')
    return str(found["claim"]), found["prefix"]


def _rule(at: str, entry: Any) -> tuple[str, str]:
    found = fields(at, entry, frozenset(("claim", "requiredValue")))
    if not found.get("claim"):
        raise InvalidConfiguration(f"{at}.claim: name the claim")
    return str(found["claim"]), str(found.get("requiredValue", ""))


def _https(at: str, url: Any) -> str:
    if url is _ABSENT:
        return ""
    if not isinstance(url, str) or not url.startswith("https://"):
        raise InvalidConfiguration(f"{at}: must be an https:// address")
    return url
