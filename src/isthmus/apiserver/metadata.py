"""The rules for `metadata`, which are the same for every kind.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from isthmus.apiserver import formats
from isthmus.apiserver.errors import Cause, bad_request
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_map, type_name
from isthmus.apiserver.kinds import (
    EVENT_COLLECTION,
    EXTENSIONS,
    FOREGROUND,
    NAMESPACE_COLLECTION,
    ORPHAN,
    RBAC,
)
from isthmus.apiserver.ownerrefs import check_owners
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import Schema

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f]")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_BYTES = 63
_SUBDOMAIN_BYTES = 253
_LONGEST_KEY = _SUBDOMAIN_BYTES + 1 + _LABEL_BYTES
_ANNOTATIONS_BYTES = 256 * 1024
_TWO_SLASHES = (
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used"
    " for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain"
    " prefix and '/' (e.g. 'example.com/MyName')"
)
_PREFIX_RULE = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters,"
    " '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex"
    " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_STANDARD_FINALIZERS = ("kubernetes", FOREGROUND, ORPHAN)
_SUFFIX, _NAMES_TRIED = 5, 8
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

_STRING: Json = {"type": "string", "nullable": True}
_STRING_MAP: Json = {
    "type": "object",
    "nullable": True,
    "additionalProperties": {"type": "string"},
}
SCHEMA = Schema(
    {
        "type": "object",
        "properties": {
            **{
                name: _STRING
                for name in (
                    "name", "generateName", "namespace", "uid", "resourceVersion", "selfLink",
                    "creationTimestamp", "deletionTimestamp",
                )
            },
            "generation": {"type": "integer", "nullable": True},
            "deletionGracePeriodSeconds": {"type": "integer", "nullable": True},
            "labels": _STRING_MAP,
            "annotations": _STRING_MAP,
            "finalizers": {"type": "array", "nullable": True, "items": {"type": "string"}},
            "ownerReferences": {
                "type": "array",
                "nullable": True,
                "items": {
                    "type": "object",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "name": {"type": "string"},
                        "uid": {"type": "string"},
                        "controller": {"type": "boolean", "nullable": True},
                        "blockOwnerDeletion": {"type": "boolean", "nullable": True},
                    },
                },
            },
            "managedFields": {
                "type": "array",
                "nullable": True,
                "items": {
                    "type": "object",
                    "properties": {
                        "manager": {"type": "string"},
                        "operation": {"type": "string"},
                        "apiVersion": {"type": "string"},
                        "fieldsType": {"type": "string"},
                        "subresource": {"type": "string"},
                        "time": _STRING,
                        "fieldsV1": {
                            "type": "object",
                            "nullable": True,
                            "x-kubernetes-preserve-unknown-fields": True,
                        },
                    },
                },
            },
        },
    },
    whole=False,
    known=formats.BUILT_IN,
)  # fmt: skip

_TYPES = jsonschema_rs.Draft4Validator({
    **SCHEMA.raw,
    "properties": {
        name: {**part, "type": [part["type"], "null"]}
        for name, part in SCHEMA.raw["properties"].items()
        if name != "ownerReferences"
    },
})  # fmt: skip


def admit(resource: Resource, metadata: Json) -> tuple[list[str], list[Cause]]:
    """Prune and check metadata in place; which fields were unknown, and what is wrong.

    Raises:
        ApiError: 400, it cannot be the metadata of anything.
    """
    if SCHEMA.is_met(metadata):
        return [], []
    SCHEMA.fill_strings(metadata)
    _check_types(resource, metadata)
    unknown, causes = SCHEMA.admit(metadata)
    if resource.custom:
        unknown.sort()
    return (
        [f"metadata.{name}" for name in unknown],
        [replace(cause, field=f"metadata.{cause.field}") for cause in causes],
    )


def _check_types(resource: Resource, metadata: Json) -> None:
    """Refuse what cannot be the metadata of anything, as Kubernetes' decoder does.

    Raises:
        ApiError: 400.
    """
    if _TYPES.is_valid(metadata):
        return
    for error in _TYPES.iter_errors(metadata):
        path = [str(part) for part in error.instance_path if not isinstance(part, int)]
        value: Any = metadata
        for part in error.instance_path:
            value = value[part]
        wanted = {"labels": "string", "annotations": "string"}.get(
            path[0] if path else "", "string"
        )
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: json: cannot unmarshal {type_name(value)} into Go struct field"
            f" ObjectMeta.{path[0] if path else ''} of type {wanted}"
        )


def timestamp() -> str:
    """Now, as objects write it."""
    return _written(int(time.time()))


@lru_cache(2)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def new_uid() -> str:
    """A random UUID, in a third of the time that `uuid.uuid4` takes."""
    text = secrets.token_hex(16)
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def generated_name(base: str, is_free: Callable[[str], bool]) -> str:
    """A name from a `generateName`, of which no more stays than fits into a label.

    Args:
        base: The `generateName`.
        is_free: Whether no object has a name; else another one is tried, some times.
    """
    name = base
    for _ in range(_NAMES_TRIED):
        suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(_SUFFIX))
        name = base[: _LABEL_BYTES - _SUFFIX] + suffix
        if is_free(name):
            break
    return name


def owners_of(obj: Json) -> tuple[str, ...]:
    """The uids of an object's owners."""
    references = obj["metadata"].get("ownerReferences")
    return tuple(reference["uid"] for reference in references) if references else ()


def record_of(obj: Json, version: int, body: bytes) -> Record:
    """The stored form of an object."""
    metadata = obj["metadata"]
    key = (metadata.get("namespace", ""), metadata["name"])
    labels = as_map(metadata.get("labels"))
    return Record(key, version, body, metadata["uid"], labels, owners_of(obj))


def check(resource: Resource, metadata: Json) -> list[Cause]:
    """What is wrong with the name, labels, annotations or owners of an object."""
    return _check_name(resource, metadata) + check_marks(metadata)


def check_marks(metadata: Json) -> list[Cause]:
    """What is wrong with labels, annotations or owners."""
    causes: list[Cause] = []
    labels = metadata.get("labels")
    if labels:
        for key, value in labels.items():
            if len(key) > _LONGEST_KEY or not _is_fine(key):
                causes += check_key("metadata.labels", key)
            if not _LABEL_VALUE.fullmatch(value):
                causes += _check_label_value(value)
    annotations = metadata.get("annotations")
    if annotations:
        size = 0
        for key, value in annotations.items():
            if len(key) > _LONGEST_KEY or not _is_fine(key):
                causes += check_key("metadata.annotations", key)
            size += len(key) + len(value)
        if size > _ANNOTATIONS_BYTES:
            why = f"may not be more than {_ANNOTATIONS_BYTES} bytes"
            causes.append(Cause("metadata.annotations", why, "FieldValueTooLong"))
    owners = metadata.get("ownerReferences")
    return causes + check_owners(owners) if owners else causes


def check_finalizer(field: str, name: str, place: str = "") -> list[Cause]:
    """What is wrong with a finalizer of a built-in kind; `place` is the field of the one name."""
    causes = check_key(field, name)
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        why = "name is neither a standard finalizer name nor is it fully qualified"
        causes.append(Cause(place or field, f'"{name}": {why}'))
    return causes


def check_new_finalizers(
    resource: Resource, finalizers: list[str], before: list[str]
) -> tuple[list[Cause], list[str]]:
    """What is wrong with the finalizers that a write adds, and what its caller should be told."""
    causes, told, known = list[Cause](), list[str](), frozenset(before)
    for place, name in enumerate(finalizers):
        if name in known:
            continue
        if not resource.custom and resource.group != EXTENSIONS:
            causes += check_finalizer("metadata.finalizers", name, f"metadata.finalizers[{place}]")
            continue
        causes += check_key("metadata.finalizers", name)
        if resource.custom and "/" not in name and name not in _STANDARD_FINALIZERS:
            whole = " including a path (/)" if "." in name else ""
            told.append(
                f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name{whole} to'
                " avoid accidental conflicts with other finalizer writers"
            )
    if FOREGROUND in finalizers and ORPHAN in finalizers:
        why = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        causes.append(Cause("metadata.finalizers", f"{orjson.dumps(finalizers).decode()}: {why}"))
    return causes, told


def _check_name(resource: Resource, metadata: Json) -> list[Cause]:
    prefix, name = (str(metadata.get(part) or "") for part in ("generateName", "name"))
    causes: list[Cause] = []
    if prefix:
        # What follows the prefix is none of its business: a last dash stands for that.
        whole = prefix[:-2] + "a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        wrong = _name_faults(resource, whole)
        causes += [Cause("metadata.generateName", f'"{prefix}": {why}') for why in wrong]
    if not name:
        why = "name or generateName is required"
        return [*causes, Cause("metadata.name", why, "FieldValueRequired")]
    wrong = _name_faults(resource, name)
    return causes + [Cause("metadata.name", f'"{name}": {why}') for why in wrong]


def _name_faults(resource: Resource, name: str) -> list[str]:
    """Why this cannot be the name of an object of a kind."""
    if resource.group == RBAC or resource.collection == EVENT_COLLECTION:
        return segment_faults(name)
    if resource.collection == NAMESPACE_COLLECTION:
        return _label_faults(name)
    rule = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-'"
        " or '.', and must start and end with an alphanumeric character (e.g. 'example.com',"
        " regex used for validation is"
        " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )
    long = ["must be no more than 253 characters"] if len(name) > _SUBDOMAIN_BYTES else []
    return long if _SUBDOMAIN.fullmatch(name) else [*long, rule]


def _label_faults(name: str) -> list[str]:
    rule = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
        " and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc',"
        " regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )
    long = ["must be no more than 63 characters"] if len(name) > _LABEL_BYTES else []
    if _DNS_LABEL.fullmatch(name):
        return long
    return [*long, "must not contain dots" if _SUBDOMAIN.fullmatch(name) else rule]


def segment_faults(name: str) -> list[str]:
    """Why a name cannot be a part of a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    faults = [f"may not contain '{sign}'" for sign in "/%" if sign in name]
    return [*faults, "may not contain control characters"] if _CONTROL.search(name) else faults


@lru_cache(1024)
def _is_fine(key: str) -> bool:
    """Whether it is a qualified name; remembered, since most objects have the same few."""
    return not check_key("", key)


def check_key(field: str, key: str) -> list[Cause]:
    """What is wrong with a qualified name, such as `example.com/name`."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [Cause(field, f'"{key}": {_TWO_SLASHES}')]
    if slash and len(prefix) > _SUBDOMAIN_BYTES:
        return [Cause(field, f'"{key}": prefix part must be no more than 253 bytes')]
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return [Cause(field, f'"{key}": {_PREFIX_RULE}')]
    if len(name) > _LABEL_BYTES or not _LABEL_NAME.fullmatch(name):
        rule = (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start"
            " and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc',"
            " regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
        empty = [] if name else [Cause(field, f'"{key}": name part must be non-empty')]
        return [*empty, Cause(field, f'"{key}": {rule}')]
    return []


def _check_label_value(value: str) -> list[Cause]:
    if len(value) > _LABEL_BYTES:
        return [Cause("metadata.labels", f'"{value}": must be no more than 63 bytes')]
    if value and not _LABEL_NAME.fullmatch(value):
        rule = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_'"
            " or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', or"
            " 'my_value', or '12345', regex used for validation is"
            " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
        return [Cause("metadata.labels", f'"{value}": {rule}')]
    return []
