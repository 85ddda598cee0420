"""Secrets that hold a token of a ServiceAccount: filled in, and gone with their account.

Such a token lasts as long as its Secret and the account do. Source:
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
"""

import base64

import orjson

from isthmus.apiserver.chores import Chore
from isthmus.apiserver.collection import Collection
from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.kinds import SECRET_COLLECTION
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.secretrules import ACCOUNT_NAME, ACCOUNT_UID, TOKEN_TYPE
from isthmus.apiserver.service_accounts import COLLECTION, ServiceAccountTokens
from isthmus.apiserver.store import Store

_MARK = f'"type":"{TOKEN_TYPE}"'.encode()


class TokenSecrets:
    """Fills the Secrets and deletes those of no account. `start` it with the server.

    Args:
        store: The store.
        objects: The write side.
        tokens: Makes the tokens.
    """

    def __init__(self, store: Store, objects: Objects, tokens: ServiceAccountTokens) -> None:
        self._store = store
        self._objects = objects
        self._tokens = tokens
        self._authority = b""
        self._chore = Chore(store, self._look)

    def start(self) -> None:
        """Look at every such Secret once, then at what changes."""
        self._mark_all()
        self._store.listen(self._notice)
        self._chore.start()

    async def stop(self) -> None:
        """End the task."""
        await self._chore.stop()

    def trust(self, ca_pem: str) -> None:
        """Tell the Secrets, as `ca.crt`, by which authority their readers know this server."""
        self._authority = ca_pem.encode()
        self._mark_all()

    def _mark_all(self, namespace: str | None = None) -> None:
        secrets = self._store.collection(SECRET_COLLECTION)
        for key in secrets.within(namespace):
            if _MARK in secrets.records[key].body:
                self._chore.mark("/".join(key))

    def _notice(self, collection: Collection, event: Event) -> None:
        if collection.name == SECRET_COLLECTION:
            if event.type != "DELETED" and _MARK in event.record.body:
                self._chore.mark("/".join(event.record.key))
        elif collection.name == COLLECTION and event.type == "DELETED":
            self._mark_all(event.record.key[0])

    def _look(self, place: str) -> None:
        namespace, _, name = place.partition("/")
        record = self._store.collection(SECRET_COLLECTION).current((namespace, name))
        if record is None or b'"deletionTimestamp":' in record.body:
            return
        secret: Json = orjson.loads(record.body)
        if secret.get("type") != TOKEN_TYPE:
            return
        resource = self._objects.registry.get("", "v1", "secrets")
        noted = as_map(secret["metadata"].get("annotations"))
        key = (namespace, str(noted.get(ACCOUNT_NAME)))
        account = self._store.collection(COLLECTION).current(key)
        if account is None or noted.get(ACCOUNT_UID) not in (None, "", account.uid):
            self._objects.delete(resource, record)
        elif not secret.get("immutable") and self._lacks(secret):
            self._objects.rewrite(resource, record.key, lambda s: self._fill(s, record, account))

    def _lacks(self, secret: Json) -> bool:
        data = as_map(secret.get("data"))
        outdated = self._authority and data.get("ca.crt") != _encoded(self._authority)
        return bool(outdated) or not (data.get("namespace") and data.get("token"))

    def _fill(self, secret: Json, record: Record, account: Record) -> None:
        data = as_map(secret.get("data"))
        if self._authority:
            data["ca.crt"] = _encoded(self._authority)
        if not data.get("namespace"):
            data["namespace"] = _encoded(record.key[0].encode())
        if not data.get("token"):
            token = self._tokens.lasting(record, account)
            data["token"] = _encoded(token.encode())
        secret["data"] = data
        secret["metadata"]["annotations"][ACCOUNT_UID] = account.uid


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
