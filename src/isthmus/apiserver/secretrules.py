"""What is wrong with a Secret or a ConfigMap.

Source: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
"""

import base64
import binascii
import re
from collections.abc import Iterator

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.errors import Cause, bad_request
from isthmus.apiserver.jsonvalues import Json, as_map

_DATA_BYTES = 1024 * 1024
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',"
    "  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_BASIC = ("username", "password")


def _immutable(admission: Admission, fields: tuple[str, ...]) -> list[Cause]:
    old, obj = admission.old, admission.obj
    if old is None or not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    changed = [name for name in fields if old.get(name) != obj.get(name)]
    if not obj.get("immutable"):
        changed.insert(0, "immutable")
    return [Cause(name, why, "FieldValueForbidden") for name in changed]


def check_secret(admission: Admission) -> list[Cause]:
    """Complete a Secret, and say what is wrong with it; no value is ever shown."""
    obj, old = admission.obj, admission.old
    plain = obj.pop("stringData", None)
    if plain:
        data = as_map(obj.get("data"))
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()
        obj["data"] = data
    if not obj.get("type"):
        obj["type"] = old["type"] if old else "Opaque"
    causes = _immutable(admission, ("data",))
    if old is not None and old.get("type") != obj["type"]:
        causes.append(Cause("type", f'"{obj["type"]}": field is immutable'))
    values: dict[str, bytes] = {}
    for key, value in as_map(obj.get("data")).items():
        try:
            values[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data in'
                f" data[{key}]; use stringData for plain text"
            ) from error
    size = sum(len(value) for value in values.values())
    return [*causes, *_keys(values), *_size("data", size), *_typed(obj["type"], values)]


def _typed(kind: str, data: dict[str, bytes]) -> Iterator[Cause]:
    """What a type of Secret promises to its readers."""
    for key in _NEEDED.get(kind, ()):
        if key not in data or (kind.endswith("ssh-auth") and not data[key]):
            yield Cause(f"data[{key}]", "", "FieldValueRequired")
        elif "docker" in kind:
            try:
                orjson.loads(data[key])
            except orjson.JSONDecodeError as error:
                why = f'"<secret contents redacted>": {str(error).split(":")[0]}'
                yield Cause(f"data[{key}]", why)
    if kind == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC):
        yield from (Cause(f"data[{key}]", "", "FieldValueRequired") for key in _BASIC)


def check_config_map(admission: Admission) -> list[Cause]:
    """What is wrong with a ConfigMap."""
    obj = admission.obj
    plain, binary = as_map(obj.get("data")), as_map(obj.get("binaryData"))
    size = sum(len(value) for value in (*plain.values(), *binary.values()))
    causes = _immutable(admission, ("data", "binaryData"))
    both = [f"data[{key}]" for key in plain if key in binary]
    causes += [Cause(field, "duplicate of key present in binaryData") for field in both]
    return [*causes, *_keys(plain), *_keys(binary, "binaryData"), *_size("", size)]


def _keys(data: Json, field: str = "data") -> Iterator[Cause]:
    for key in data:
        if len(key) > 253 or not _KEY.fullmatch(key):
            yield Cause(f"{field}[{key}]", f'"{key}": {_KEY_RULE}')


def _size(field: str, size: int) -> list[Cause]:
    if size <= _DATA_BYTES:
        return []
    return [Cause(field, f"must have at most {_DATA_BYTES} bytes", "FieldValueTooLong")]
