"""OpenID Connect: tokens that somebody else signed, checked against that issuer's published keys.

Keys are fetched when the first token arrives, again when a token names one that is not known (which
is how an issuer rotates them), and once in a while. An issuer that does not answer keeps nobody out
whose key is known already.

Source: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from typing import Any, cast

import orjson

from isthmus.apiserver.authentication_config import Issuer
from isthmus.apiserver.authn import AUTHENTICATED, User
from isthmus.apiserver.jsonvalues import Json

_LOG = logging.getLogger(__name__)
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
_RESERVED = "system:"
"""Names that begin so mean something to RBAC; no issuer gives them away."""
_LEEWAY_SECONDS = 10
_FETCH_SECONDS = 10
_REFRESH_SECONDS = 3600.0
_LARGEST_ANSWER = 1024 * 1024


class OidcTokens:
    """Knows the holders of the tokens of some issuers.

    Args:
        issuers: Whom we trust.
        pause_seconds: Time between two fetches of one issuer's keys, however many tokens with
            unknown keys arrive.
    """

    def __init__(self, issuers: Sequence[Issuer], *, pause_seconds: float = 10.0) -> None:
        self._keys = {issuer.url: _Keys(issuer, pause_seconds) for issuer in issuers}

    async def authenticate(self, token: str) -> User | None:
        """The user of a token that is genuine, valid now, and meant for us; else None."""
        if not self._keys:
            return None
        import jwt  # Costs 0.1 s, and most installations never need it.

        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
            keys = self._keys.get(claimed) if isinstance(claimed, str) else None
            if keys is None or header.get("alg") not in _ALGORITHMS:
                return None
            key = await keys.find(str(header.get("kid") or ""), str(header["alg"]))
            if key is None:
                return None
            claims: Json = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=keys.issuer.audiences,
                issuer=keys.issuer.url,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            _LOG.info("a token is refused", extra={"error": type(error).__name__})
            return None
        return user_of(keys.issuer, claims)


def user_of(issuer: Issuer, claims: Json) -> User | None:
    """The user that checked claims speak of; None when they lack what the issuer must say."""
    for name, value in issuer.required:
        if claims.get(name) != value:
            return None
    name = claims.get(issuer.username_claim)
    if not isinstance(name, str) or not name:
        return None
    if issuer.username_claim == "email" and claims.get("email_verified", True) is not True:
        return None
    full = issuer.username_prefix + name
    if full.startswith(_RESERVED):
        return None
    given: Any = claims.get(issuer.groups_claim) if issuer.groups_claim else None
    listed = cast("list[Any]", given if isinstance(given, list) else [given])
    groups = [issuer.groups_prefix + group for group in listed if isinstance(group, str) and group]
    allowed = (group for group in groups if not group.startswith(_RESERVED))
    return User(full, frozenset((*allowed, AUTHENTICATED)))


class _Keys:
    """The keys of one issuer."""

    def __init__(self, issuer: Issuer, pause_seconds: float) -> None:
        self.issuer = issuer
        self._pause_seconds = pause_seconds
        self._known: dict[str, Any] = {}
        self._fetched = self._tried = -_REFRESH_SECONDS
        self._fetching = asyncio.Lock()

    async def find(self, identifier: str, algorithm: str) -> Any:
        """The key of this identifier, or None. A token may go without when there is one only."""
        if time.monotonic() >= self._fetched + _REFRESH_SECONDS or not self._get(identifier):
            async with self._fetching:  # who waited here may find that it was done meanwhile
                if time.monotonic() >= self._tried + self._pause_seconds:
                    await self._fetch()
        key = self._get(identifier)
        if key is None or key.algorithm_name not in (None, algorithm):
            return None
        return key

    def _get(self, identifier: str) -> Any:
        if not identifier and len(self._known) == 1:
            return next(iter(self._known.values()))
        return self._known.get(identifier)

    async def _fetch(self) -> None:
        import httpx2
        import jwt

        self._tried = time.monotonic()
        try:
            tls = ssl.create_default_context(cadata=self.issuer.ca_pem or None)
            async with httpx2.AsyncClient(
                verify=tls, timeout=_FETCH_SECONDS, trust_env=False
            ) as client:
                found = jwt.PyJWKSet.from_dict(await _published(client, self.issuer)).keys
        except (httpx2.HTTPError, jwt.PyJWTError, ValueError, TypeError, ssl.SSLError) as error:
            extra = {"issuer": self.issuer.url, "error": repr(error)[:300]}
            _LOG.warning("an issuer's keys cannot be fetched", extra=extra)
            return
        self._known = {
            key.key_id or "": key for key in found if key.public_key_use in (None, "sig")
        }
        self._fetched = time.monotonic()


async def _published(client: Any, issuer: Issuer) -> Json:
    """The key set that the issuer's discovery document points to."""
    about = await _json(client, issuer.configuration_url)
    if about.get("issuer") != issuer.url:
        raise ValueError("the discovery document is of another issuer")
    address = str(about.get("jwks_uri"))
    if not address.startswith("https://"):
        raise ValueError("jwks_uri is no https:// address")
    return await _json(client, address)


async def _json(client: Any, url: str) -> Json:
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _LARGEST_ANSWER:
                raise ValueError("the issuer's answer is too long")
    value: Any = orjson.loads(body)
    if not isinstance(value, dict):
        raise TypeError("the issuer's answer is no object")
    return cast("Json", value)
