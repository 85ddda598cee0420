"""Where each kind is found in the API."""

from typing import Any

from isthmus.api.meta import API_VERSION, Json, Resource
from isthmus.ports import Api

NAMESPACES = Api("v1", "namespaces", namespaced=False)
SECRETS = Api("v1", "secrets")
EVENTS = Api("v1", "events")
METADATA_ONLY = frozenset({NAMESPACES, SECRETS})
"""Of which no more is kept near than names, labels and versions."""


def api_of(kind: type[Resource[Any, Any]]) -> Api:
    """Return the API resource of one of our kinds."""
    return Api(API_VERSION, kind.names.plural, kind.names.namespaced)


Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


def key_of(obj: Json) -> Key:
    """Return the key of an object as the API serves it."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]
