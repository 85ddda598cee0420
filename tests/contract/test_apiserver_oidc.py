"""OpenID Connect: real signed tokens, against an issuer that publishes and rotates its keys."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from isthmus.apiserver import authentication_config
from isthmus.apiserver.authentication_config import Issuer
from isthmus.apiserver.configuration import InvalidConfiguration
from isthmus.apiserver.oidc import OidcTokens
from isthmus.apiserver.tls import Certificates
from tests.apiserver_client import Client, running

DISCOVERY = "/.well-known/openid-configuration"


class Identity:
    """An issuer: it signs tokens, and serves its public keys over TLS."""

    def __init__(self, folder: Path) -> None:
        self._certificates = Certificates(folder / "issuer", "127.0.0.1")
        self.ca_pem = self._certificates.ca_pem
        self.keys: dict[str, Any] = {}
        self.fetched = 0
        self.answers = True
        self.url = ""
        self.rotate("one")

    def rotate(self, name: str, *, curve: bool = False) -> None:
        """Sign with a new key from now on, and publish only that."""
        key = (
            ec.generate_private_key(ec.SECP256R1())
            if curve
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        self.keys = {name: key}

    def token(self, *, key: Any = None, kid: str | None = None, **claims: Any) -> str:
        (name, own), *_ = self.keys.items()
        key = key or own
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        content = {
            "iss": self.url, "aud": "isthmus", "sub": "anna", "exp": int(time.time()) + 300,
            "groups": ["devs"], **claims,
        }  # fmt: skip
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, key, algorithm, headers={"kid": kid or name})

    def trusted(self, **fields: Any) -> Issuer:
        given: dict[str, Any] = {
            "url": self.url, "audiences": ("isthmus",), "ca_pem": self.ca_pem,
            "username_claim": "sub", "username_prefix": "corp:", "groups_claim": "groups",
            "groups_prefix": "corp:", **fields,
        }  # fmt: skip
        return Issuer(**given)

    def _document(self, path: str) -> Any:
        if path == DISCOVERY:
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [self._published(name, key) for name, key in self.keys.items()]}

    def _published(self, name: str, key: Any) -> Any:
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return {
                **jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True),
                "kid": name, "use": "sig", "alg": "ES256",
            }  # fmt: skip
        return {
            **jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
            "kid": name, "use": "sig", "alg": "RS256",
        }  # fmt: skip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        self.fetched += 1
        body = json.dumps(self._document(path)).encode()
        status = b"200 OK" if self.answers else b"503 Busy"
        length = str(len(body)).encode()
        writer.write(
            b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: " + length
            + b"\r\n\r\n" + body
        )  # fmt: skip
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["Identity"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificates.certificate_path, self._certificates.key_path)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self


@pytest.fixture
async def identity(tmp_path: Path) -> AsyncGenerator[Identity]:
    async with Identity(tmp_path).serving() as found:
        yield found


async def test_a_signed_token_logs_in_and_reviews(identity: Identity, tmp_path: Path) -> None:
    async with running(tmp_path / "home", issuers=(identity.trusted(),)) as (server, api):
        token = identity.token()
        anna = Client(server, token)
        who = await anna("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert who.json["status"]["userInfo"] == {
            "username": "corp:anna",
            "groups": ["corp:devs", "system:authenticated"],
        }
        assert (await anna("GET", "/api/v1/namespaces/default/secrets")).code == 403
        asked = {"spec": {"token": token}}
        review = await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked)
        assert review.json["status"]["user"]["username"] == "corp:anna"
        assert token not in review.body.decode()
        assert identity.fetched == 2  # the discovery document and the keys, once


async def test_keys_are_rotated_and_an_absent_issuer_keeps_nobody_out(identity: Identity) -> None:
    tokens = OidcTokens([identity.trusted()], pause_seconds=0)
    first = identity.token()
    assert await tokens.authenticate(first) is not None

    identity.rotate("two", curve=True)
    assert await tokens.authenticate(identity.token()) is not None
    assert await tokens.authenticate(first) is None, "a key that was withdrawn"

    identity.answers = False
    assert await tokens.authenticate(identity.token()) is not None
    identity.rotate("three")
    assert await tokens.authenticate(identity.token()) is None
    identity.answers = True
    assert await tokens.authenticate(identity.token()) is not None


async def test_unknown_keys_do_not_flood_the_issuer(identity: Identity) -> None:
    tokens = OidcTokens([identity.trusted()])
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = [identity.token(key=stranger, kid=f"k{number}") for number in range(20)]

    assert set(await asyncio.gather(*map(tokens.authenticate, wrong))) == {None}

    assert identity.fetched == 2


def _unsigned(identity: Identity) -> str:
    claims = jwt.decode(identity.token(), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none")


def _signed_with_the_public_key(identity: Identity) -> str:
    """The old trick: a symmetric signature with the published key as its secret."""
    claims = jwt.decode(identity.token(), options={"verify_signature": False})
    return jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "one"})


def _altered(identity: Identity) -> str:
    head, _, signature = identity.token().split(".")
    _, body, _ = identity.token(sub="admin").split(".")
    return f"{head}.{body}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda i: i.token(exp=int(time.time()) - 60),
        lambda i: i.token(exp=None),
        lambda i: i.token(nbf=int(time.time()) + 600),
        lambda i: i.token(aud="another"),
        lambda i: i.token(aud=None),
        lambda i: i.token(iss="https://elsewhere.example.com"),
        lambda i: i.token(sub=None),
        lambda i: i.token(sub=""),
        lambda i: i.token(sub=["anna"]),
        lambda i: i.token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        _unsigned,
        _signed_with_the_public_key,
        _altered,
        lambda i: "a.b.c",
        lambda i: "..",
        lambda i: i.token()[:-8],
        lambda i: "\u00e9." * 3,
    ],
)
async def test_what_is_not_genuine_is_nobody(identity: Identity, forge: Any) -> None:
    tokens = OidcTokens([identity.trusted()])
    assert await tokens.authenticate(forge(identity)) is None
    assert await tokens.authenticate(identity.token()) is not None


async def test_what_the_issuer_may_say(identity: Identity) -> None:
    async def user(token: str, **fields: Any) -> Any:
        return await OidcTokens([identity.trusted(**fields)]).authenticate(token)

    plain = {"username_prefix": "", "groups_prefix": ""}
    assert await user(identity.token(sub="system:admin"), **plain) is None
    found = await user(identity.token(groups=["system:masters", "devs", 3, ""]), **plain)
    assert found.groups == {"devs", "system:authenticated"}
    assert (await user(identity.token(groups="ops"), **plain)).groups >= {"ops"}
    email: dict[str, Any] = {"username_claim": "email", **plain}
    mail = {"email": "a@example.com"}
    assert (await user(identity.token(**mail), **email)).name == "a@example.com"
    assert await user(identity.token(**mail, email_verified=False), **email) is None
    required = {"required": (("hd", "example.com"),)}
    assert await user(identity.token(), **required) is None
    assert await user(identity.token(hd="example.com"), **required) is not None


GOOD = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://id.example.com/realm, audiences: [isthmus]}
  claimMappings:
    username: {claim: email, prefix: ""}
    groups: {claim: groups, prefix: "corp:"}
  claimValidationRules: [{claim: hd, requiredValue: example.com}]
"""


def test_the_configuration_of_kubernetes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(GOOD)

    (issuer,) = authentication_config.load(path)

    assert issuer.configuration_url == f"https://id.example.com/realm{DISCOVERY}"
    assert (issuer.username_claim, issuer.groups_prefix) == ("email", "corp:")
    assert issuer.required == (("hd", "example.com"),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://id", "http://id", r"jwt\[0\]\.issuer\.url: must be an https://"),
        ("[isthmus]", "[]", r"audiences: name at least one"),
        ("[isthmus]", "[a, b]", "audienceMatchPolicy: must be MatchAny"),
        ('prefix: ""', "extra: 1", r"username\.extra: is not supported here"),
        (', prefix: ""', "", r"username\.prefix: give one"),
        ("claim: email", "expression: claims.email", "expression: is not supported"),
        ("AuthenticationConfiguration", "Policy", "kind AuthenticationConfiguration"),
        ("jwt:", "jwt: {", "cannot be read as YAML"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(GOOD.replace(old, new))

    with pytest.raises(InvalidConfiguration, match=said) as caught:
        authentication_config.load(path)
    assert str(path) in str(caught.value)
