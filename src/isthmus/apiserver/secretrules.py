"""What is wrong with a Secret or a ConfigMap.

Source: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.errors import Cause, bad_request
from isthmus.apiserver.jsonvalues import Json, as_map, type_name

_DATA_BYTES = 1024 * 1024
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',"
    "  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_TLS = "kubernetes.io/tls"
_NEEDED = {
    _TLS: ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
TOKEN_TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
"""Annotations that say whose token a Secret holds."""
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
    _leave_out_empty(obj)
    if not obj.get("type"):
        obj["type"] = "Opaque"
    causes = _immutable(admission, ("data",))
    if old is not None and old.get("type") != obj["type"]:
        causes.append(Cause("type", f'"{obj["type"]}": field is immutable'))
    values = _decoded(obj, "data")
    size = sum(len(value) for value in values.values())
    if obj["type"] == _TLS and (warning := _mismatch(*(values.get(k, b"") for k in _NEEDED[_TLS]))):
        admission.warnings.append(warning)
    named = as_map(obj["metadata"].get("annotations")).get(ACCOUNT_NAME)
    if obj["type"] == TOKEN_TYPE and not named:
        field = f"metadata.annotations[{ACCOUNT_NAME}]"
        causes.append(Cause(field, "", "FieldValueRequired"))
    return [*causes, *_keys(values), *_size("data", size), *_typed(obj["type"], values)]


def _decoded(obj: Json, field: str) -> dict[str, bytes]:
    """The values of a field in base64, whose line breaks are taken out of the object.

    Raises:
        ApiError: 400.
    """
    values: dict[str, bytes] = {}
    written = as_map(obj.get(field))
    for key, value in written.items():
        if "\n" in value or "\r" in value:
            written[key] = value = value.replace("\n", "").replace("\r", "")
        try:
            values[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            kind = obj["kind"]
            raise bad_request(
                f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data in'
                f" {field}[{key}]"
            ) from error
    return values


def _typed(kind: str, data: dict[str, bytes]) -> Iterator[Cause]:
    """What a type of Secret promises to its readers."""
    for key in _NEEDED.get(kind, ()):
        if key not in data or (kind.endswith("ssh-auth") and not data[key]):
            yield Cause(f"data[{key}]", "", "FieldValueRequired")
        elif "docker" in kind and (why := _is_no_object(data[key])):
            yield Cause(f"data[{key}]", f'"<secret contents redacted>": {why}')
    if kind == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC):
        yield from (Cause(f"data[{key}]", "", "FieldValueRequired") for key in _BASIC)


def _mismatch(certificate: bytes, key: bytes) -> str:
    """Why nobody could serve with a certificate and a key, in Go's words; empty if nothing is."""
    for what, text in (("certificate", certificate), ("key", key)):
        if b"-----BEGIN " not in text:
            return f"tls: failed to find any PEM data in {what} input"
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        # Whether a key is a good one takes seconds to find out; here it only has to be the same.
        loaded = load_pem_private_key(key, None, unsafe_skip_rsa_key_validation=True)
        own = loaded.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ""  # what others may read need not be what we can
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    return "" if own == public else "tls: private key does not match public key"


def _is_no_object(text: bytes) -> str:
    """Why a text is no JSON object; empty where it is one."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return str(error).split(":")[0]
    if found is None or isinstance(found, dict):
        return ""
    return (
        f"json: cannot unmarshal {type_name(found)} into Go value of type map[string]interface {{}}"
    )


def check_config_map(admission: Admission) -> list[Cause]:
    """What is wrong with a ConfigMap."""
    obj = admission.obj
    _leave_out_empty(obj)
    plain, binary = as_map(obj.get("data")), _decoded(obj, "binaryData")
    size = sum(len(value) for value in (*plain.values(), *binary.values()))
    causes = _immutable(admission, ("data", "binaryData"))
    both = [f"data[{key}]" for key in plain if key in binary]
    causes += [Cause(field, "duplicate of key present in binaryData") for field in both]
    return [*causes, *_keys(plain), *_keys(binary, "binaryData"), *_size("", size)]


def _leave_out_empty(obj: Json) -> None:
    """Take away, in place, data of which there are none, as Go leaves them out."""
    for name in ("data", "binaryData"):
        if obj.get(name) in ({}, None):
            obj.pop(name, None)


def _keys(data: Iterable[str], field: str = "data") -> Iterator[Cause]:
    for key in data:
        if len(key) > 253:
            yield Cause(f"{field}[{key}]", f'"{key}": must be no more than 253 characters')
        if not _KEY.fullmatch(key):
            yield Cause(f"{field}[{key}]", f'"{key}": {_KEY_RULE}')
        if key.startswith(".."):
            how = "be" if key == ".." else "start with"
            yield Cause(f"{field}[{key}]", f"\"{key}\": must not {how} '..'")
        elif key == ".":
            yield Cause(f"{field}[{key}]", "\".\": must not be '.'")


def _size(field: str, size: int) -> list[Cause]:
    if size <= _DATA_BYTES:
        return []
    return [Cause(field, f"must have at most {_DATA_BYTES} bytes", "FieldValueTooLong")]
