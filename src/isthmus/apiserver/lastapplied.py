"""What kubectl applied itself, and the way between its own apply and the server's.

`kubectl apply` writes what it applied into an annotation, to know later what it must remove. When
it applies by the server instead, the server writes the annotation on: so both ways may follow each
other.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
"""

from typing import Any

import orjson

from isthmus.apiserver import fields
from isthmus.apiserver.fields import Path
from isthmus.apiserver.jsonvalues import Json, as_map, same

KUBECTL = "kubectl"
_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_BYTES = 256 * 1024
_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""As Go's encoder writes them."""


def _annotations(obj: Json) -> Json:
    return as_map(as_map(obj.get("metadata")).get("annotations"))


def unchanged(live: Json, part: Any, schema: Json, api_version: str) -> set[Path]:
    """The fields that kubectl applied itself and that still are as it applied them.

    Args:
        live: The object as it is.
        part: Takes the part of an object out of it that the write is about.
        schema: Its merge rules.
        api_version: The version of the write; what was applied in another one does not count.
    """
    try:
        before = as_map(orjson.loads(_annotations(live).get(_ANNOTATION) or b"{}"))
    except orjson.JSONDecodeError:
        return set()
    if before.get("apiVersion") != api_version:
        return set()
    present = fields.flatten(part(live), schema)
    applied = fields.flatten(part(before), schema)
    return {
        path for path, value in applied.items() if path in present and same(present[path], value)
    }


def write_on(merged: Json, applied: Json) -> None:
    """Say in the annotation, where there is one, what was applied by the server, in place."""
    annotations = _annotations(merged)
    if not annotations.get(_ANNOTATION):
        return
    plain = orjson.loads(orjson.dumps(applied))
    _annotations(plain).pop(_ANNOTATION, None)
    text = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode().translate(_ESCAPED)
    annotations[_ANNOTATION] = text + "\n"
    if sum(len(name) + len(str(value)) for name, value in annotations.items()) > _MOST_BYTES:
        del annotations[_ANNOTATION]
