"""Tokens of ServiceAccounts: signed, bound to the account's uid, and short-lived.

A token is a JWT signed with the server's own key (HS256), so nothing needs to be stored and the end
of the account is the end of its tokens. Those that `token_secrets` keeps in Secrets last as long as
they are there.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

import base64
import binascii
import hashlib
import hmac
import time
from datetime import UTC, datetime

import orjson

from isthmus.apiserver.authn import AUTHENTICATED, User
from isthmus.apiserver.errors import ApiError, Cause, bad_request, invalid_request
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import SECRET_COLLECTION
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.store import Store

COLLECTION = "/serviceaccounts"
ISSUER = "https://kubernetes.default.svc"
_LASTING_ISSUER = "kubernetes/serviceaccount"
_LASTING = "kubernetes.io/serviceaccount"
"""Before the names of what a token that lasts says of its account."""
_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
_DEFAULT_SECONDS, _SHORTEST, _LONGEST = 3600, 600, 365 * 24 * 3600
_MOST = 2**32
_PREFIX = "system:serviceaccount"


class ServiceAccountTokens:
    """Makes and checks the tokens.

    Args:
        store: Where the accounts are.
        key: Secret key of the server.
    """

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self._key = hashlib.sha256(b"service accounts" + key).digest()

    def issue(self, namespace: str, name: str, uid: str, asked: Json) -> Json:
        """Answer a TokenRequest for an account.

        Args:
            namespace: Of the account.
            name: Of the account.
            uid: Of the account.
            asked: The request's body.

        Raises:
            ApiError: 422, it would be too short-lived or outlive everybody; 404 or 409, what it is
                to be bound to is not there; 400, that is of a kind that is not served, or something
                is not of its type.
        """
        spec = as_map(asked.get("spec"))
        seconds, now = min(_seconds(spec), _LONGEST), int(time.time())
        expires = now + seconds
        bound: Json = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if spec.get("boundObjectRef"):
            bound["secret"] = self._secret(namespace, as_map(spec["boundObjectRef"]))
        claims = {
            "iss": ISSUER,
            "aud": _audiences(spec),
            "exp": expires,
            "iat": now,
            "nbf": now,
            "sub": f"{_PREFIX}:{namespace}:{name}",
            "kubernetes.io": bound,
        }
        moment = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "creationTimestamp": timestamp(),
            },
            "spec": {**spec, "audiences": claims["aud"], "expirationSeconds": seconds},
            "status": {
                "token": self._signed(claims),
                "expirationTimestamp": moment.replace("+00:00", "Z"),
            },
        }

    def lasting(self, secret: Record, account: Record) -> str:
        """The token that a Secret holds, valid as long as both are there.

        Args:
            secret: The Secret; one of the same name has another token.
            account: The ServiceAccount.
        """
        namespace, name = account.key
        return self._signed({
            "iss": _LASTING_ISSUER,
            f"{_LASTING}/namespace": namespace,
            f"{_LASTING}/secret.name": secret.key[1],
            f"{_LASTING}/secret.uid": secret.uid,
            f"{_LASTING}/service-account.name": name,
            f"{_LASTING}/service-account.uid": account.uid,
            "sub": f"{_PREFIX}:{namespace}:{name}",
        })  # fmt: skip

    def _signed(self, claims: Json) -> str:
        text = _HEADER + b"." + base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=")
        return (text + b"." + self._sign(text)).decode()

    def _secret(self, namespace: str, wanted: Json) -> Json:
        """The Secret that a token ends with."""
        kind, name = str(wanted.get("kind", "")), str(wanted.get("name", ""))
        if kind != "Secret" or wanted.get("apiVersion", "v1") != "v1":
            raise bad_request(f"cannot bind token to object of kind {kind}; only to a Secret")
        record = self._store.collection(SECRET_COLLECTION).current((namespace, name))
        if record is None:
            raise ApiError(404, "NotFound", f'secrets "{name}" not found')
        if wanted.get("uid") not in (None, "", record.uid):
            why = f"the UID in the bound object reference ({wanted['uid']}) does not match the UID"
            raise ApiError(409, "Conflict", f"{why} in record ({record.uid})")
        return {"name": name, "uid": record.uid}

    def authenticate(self, token: str) -> User | None:
        """The account of a token that is ours, not expired, and whose account still exists."""
        text, _, signature = token.encode().rpartition(b".")
        header, _, body = text.partition(b".")
        if header != _HEADER or not hmac.compare_digest(self._sign(text), signature):
            return None
        try:
            claims = orjson.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        except (binascii.Error, orjson.JSONDecodeError):
            return None
        if claims["iss"] == _LASTING_ISSUER:
            return self._of_secret(claims, token)
        bound = claims["kubernetes.io"]
        account, namespace = bound["serviceaccount"], bound["namespace"]
        record = self._store.collection(COLLECTION).records.get((namespace, account["name"]))
        if record is None or record.uid != account["uid"] or claims["exp"] < time.time():
            return None
        if ISSUER not in claims["aud"]:
            return None
        if secret := bound.get("secret"):
            held = self._store.collection(SECRET_COLLECTION).records.get(
                (namespace, secret["name"])
            )
            if held is None or held.uid != secret["uid"]:
                return None
        return _user(namespace, account["name"], record.uid)

    def _of_secret(self, claims: Json, token: str) -> User | None:
        """The account of a token that lasts, if its Secret still holds this very token."""
        namespace, name = (
            claims[f"{_LASTING}/namespace"],
            claims[f"{_LASTING}/service-account.name"],
        )
        account = self._store.collection(COLLECTION).records.get((namespace, name))
        key = (namespace, claims[f"{_LASTING}/secret.name"])
        secret = self._store.collection(SECRET_COLLECTION).records.get(key)
        if account is None or account.uid != claims[f"{_LASTING}/service-account.uid"]:
            return None
        if secret is None or b'"deletionTimestamp":' in secret.body:
            return None
        held = as_map(orjson.loads(secret.body).get("data")).get("token")
        if held != base64.b64encode(token.encode()).decode():
            return None
        return _user(namespace, name, account.uid)

    def _sign(self, text: bytes) -> bytes:
        digest = hmac.new(self._key, text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _user(namespace: str, name: str, uid: str) -> User:
    groups = (f"{_PREFIX}s", f"{_PREFIX}s:{namespace}", AUTHENTICATED)
    return User(f"{_PREFIX}:{namespace}:{name}", frozenset(groups), uid)


def _seconds(spec: Json) -> int:
    """How long a token is wanted for."""
    seconds = spec.get("expirationSeconds")
    if seconds is None:
        return _DEFAULT_SECONDS
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise bad_request("spec.expirationSeconds: must be an integer")
    if _SHORTEST <= seconds <= _MOST:
        return seconds
    bound = "less than 10 minutes" if seconds < _SHORTEST else "larger than 2^32 seconds"
    cause = Cause("spec.expirationSeconds", f"{seconds}: may not specify a duration {bound}")
    raise invalid_request("authentication.k8s.io", "TokenRequest", [cause])


def _audiences(spec: Json) -> list[str]:
    """For whom a token is wanted."""
    audiences = as_list(spec.get("audiences") or [])
    if not isinstance(spec.get("audiences") or [], list) or not all(
        isinstance(audience, str) for audience in audiences
    ):
        raise bad_request("spec.audiences: must be a list of strings")
    return audiences or [ISSUER]
