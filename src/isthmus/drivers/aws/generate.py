"""Write an Offering for any CloudFormation type, from the resource schemas that cfn-lint carries.

The result is honest about what it is: ``reviewed: false``. Its parameters are the properties that
may be written, its outputs the textual attributes that may be read; nobody has chosen defaults.
Format: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import API_VERSION, Json
from isthmus.core.schemas import UPDATABLE
from isthmus.drivers.aws.stateful import STATEFUL_TYPES
from isthmus.errors import InvalidSpec

REGION: Final = "us-east-1"
LOGICAL_ID: Final = "Resource"
_DEEPEST = 6
"""Levels of nested properties that the parameters' schema follows; below, any value is taken."""
_KEPT: Final = frozenset(
    {
        "type",
        "description",
        "enum",
        "const",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "required",
        "additionalProperties",
    }
)
"""Keywords that mean the same in every JSON Schema; patterns are ECMA's and often not portable.
Defaults stay with AWS."""
_SENTENCE_ROOM = 300
_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SECRET: Final = re.compile(
    r"(Password|Passphrase|Secret|Token|Credentials?|PrivateKey|ApiKey|AccessKey|SecretString)$"
)
_EVERY_SECRET: Final = frozenset({"type", "provider", "region"})
"""Keys that every binding's Secret has already."""


def resource_types() -> tuple[str, ...]:
    """Return the names of all CloudFormation types of AWS that have a schema."""
    return tuple(sorted(name for name in _index() if name.startswith("AWS::")))


def offering(resource_type: str) -> Json:
    """Return an Offering manifest for one type.

    Raises:
        InvalidSpec: There is no such type; the message names similar ones.
    """
    schema = _schema(resource_type)
    properties = _writable(schema)
    outputs = _outputs(schema)
    name = _name(resource_type)
    spec: Json = {
        "title": resource_type.removeprefix("AWS::").replace("::", " "),
        "description": _description(schema, resource_type),
        "category": "generated",
        "documentation": str(schema.get("documentationUrl") or ""),
        "reviewed": False,
        "parameters": _parameters(schema, properties),
        "plans": _plans(schema, properties),
        "stacks": {"aws": _stack(resource_type, properties, outputs, schema)},
        "binding": {"type": name, "keys": {k: f"${{outputs.{o}}}" for o, k in _keys(outputs)}},
    }
    if not outputs:
        del spec["binding"]
    if not spec["documentation"]:
        del spec["documentation"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Offering",
        "metadata": {"name": name},
        "spec": spec,
    }


def _folder() -> Path:
    spec = find_spec("cfnlint")  # Found, not imported: that would take 1.6 s.
    if spec is None or spec.origin is None:
        raise InvalidSpec("The schemas are in the Python package cfn-lint; install isthmus[aws].")
    return Path(spec.origin).parent / "data" / "schemas"


@cache
def _index() -> dict[str, str]:
    return cast(
        "dict[str, str]",
        orjson.loads((_folder() / "providers" / f"{REGION}.json").read_bytes()),
    )


def _schema(resource_type: str) -> Json:
    index = _index()
    if resource_type not in index:
        service = resource_type.split("::")[1] if resource_type.count("::") else resource_type
        similar = sorted(n for n in index if service.lower() in n.lower())[:5]
        hint = f" Similar: {', '.join(similar)}." if similar else ""
        raise InvalidSpec(f"There is no CloudFormation type {resource_type!r}.{hint}")
    file = _folder() / "resources" / f"{index[resource_type]}.json"
    return cast("Json", orjson.loads(file.read_bytes()))


def _top(schema: Json, key: str) -> frozenset[str]:
    """Return the top-level properties that a list of pointers names."""
    pointers = cast("list[str]", schema.get(key, []))
    return frozenset(p.split("/")[2] for p in pointers if p.count("/") == 2)


def _writable(schema: Json) -> dict[str, Json]:
    known = cast("dict[str, Json]", schema.get("properties", {}))
    read_only = _top(schema, "readOnlyProperties")
    return {name: body for name, body in known.items() if name not in read_only}


def _parameter(name: str) -> str:
    """Return a parameter's name: ``DBClusterIdentifier`` to ``dbClusterIdentifier``."""
    head = re.match(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]+$|^[A-Z]", name)
    return name if head is None else head[0].lower() + name[head.end() :]


def _parameters(schema: Json, properties: dict[str, Json]) -> Json:
    create_only = _top(schema, "createOnlyProperties")
    needed = _required(schema, properties)
    described: Json = {}
    for name, body in properties.items():
        secret = _is_secret(name, body, schema)
        plain = _plain(body, schema, 0)
        if name not in needed and not secret:
            plain = _or_null(plain)
        plain["title"] = _WORD_STARTS.sub(" ", name)
        plain["description"] = str(plain.get("description") or f"Property {name} of the resource.")
        plain[UPDATABLE] = name not in create_only
        if secret:
            plain["writeOnly"] = True
        described[_parameter(name)] = plain
    required = [_parameter(n) for n in needed]
    document: Json = {"type": "object", "additionalProperties": False, "properties": described}
    return document | ({"required": required} if required else {})


def _or_null(plain: Json) -> Json:
    """Let a parameter be null, which is how a property stays out of the template."""
    kind: object = plain.get("type")
    if kind is not None:
        kinds = cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]
        plain["type"] = [*kinds, "null"]
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    if "enum" in plain:
        plain["enum"] = [*plain["enum"], None]
    return plain | {"default": None}


def _is_secret(name: str, body: Json, schema: Json) -> bool:
    """Tell whether it is secret: AWS never shows it again, and its name says why."""
    hidden = name in _top(schema, "writeOnlyProperties") and _SECRET.search(name) is not None
    return hidden and _resolved(body, schema).get("type") == "string"


def _required(schema: Json, properties: dict[str, Json]) -> list[str]:
    return [name for name in cast("list[str]", schema.get("required", [])) if name in properties]


def _plain(body: Any, schema: Json, depth: int) -> Json:
    """Return a schema without references, of the keywords that we keep."""
    source = _resolved(body, schema)
    if depth > _DEEPEST or not source:
        return {}
    kept = {k: v for k, v in source.items() if k in _KEPT}
    if isinstance(source.get("properties"), dict):
        inner = cast("dict[str, Json]", source["properties"])
        kept["properties"] = {k: _plain(v, schema, depth + 1) for k, v in inner.items()}
    if isinstance(source.get("items"), dict):
        kept["items"] = _plain(source["items"], schema, depth + 1)
    for key in ("required", "additionalProperties"):
        if key in kept and "properties" not in kept:
            del kept[key]
    return kept


def _resolved(body: Any, schema: Json) -> Json:
    """Follow references; a chain that never ends is any value."""
    for _ in range(_DEEPEST):
        if not isinstance(body, dict):
            return {}
        reference = cast("Json", body).get("$ref")
        if not isinstance(reference, str):
            return cast("Json", body)
        target: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            target = cast("Json", target).get(step, {}) if isinstance(target, dict) else {}
        body = target
    return {}


def _plans(schema: Json, properties: dict[str, Json]) -> list[Json]:
    custom: Json = {"name": "custom", "title": "As the parameters say"}
    if _required(schema, properties):
        return [custom]
    return [{"name": "dev", "title": "As AWS makes it where nothing is said"}, custom]


def _outputs(schema: Json) -> dict[str, str]:
    """Return output names and the attributes that they show: textual ones, as outputs are text."""
    found: dict[str, str] = {}
    for pointer in cast("list[str]", schema.get("readOnlyProperties", [])):
        steps = pointer.split("/")[2:]
        if "*" not in steps and _leaf_type(schema, steps) == "string":
            attribute = ".".join(s for s in steps if s != "properties")
            found[re.sub(r"[^A-Za-z0-9]", "", attribute)] = attribute
    return found


def _leaf_type(schema: Json, steps: list[str]) -> str:
    node: Json = schema
    for step in (s for s in steps if s != "properties"):
        inner = cast("Json", node.get("properties") or {})
        node = _resolved(inner.get(step), schema)
    kind: object = node.get("type")
    return kind if isinstance(kind, str) else ""


def _keys(outputs: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield outputs and the keys of the Secret that show them."""
    yield "Ref", "id"
    for name in outputs:
        key = _WORD_STARTS.sub("-", name).lower()
        yield name, f"resource-{key}" if key in _EVERY_SECRET else key


def _stack(
    resource_type: str, properties: dict[str, Json], outputs: dict[str, str], schema: Json
) -> Json:
    values: Json = {}
    secrets: list[str] = []
    for name, body in properties.items():
        if _is_secret(name, body, schema):
            secrets.append(name)
            given = {"Fn::If": [f"Has{name}", {"Ref": name}, {"Ref": "AWS::NoValue"}]}
            values[name] = {"Ref": name} if name in _required(schema, properties) else given
        else:
            values[name] = f"${{{_parameter(name)}}}"
    resource: Json = {"Type": resource_type, "Properties": values}
    if resource_type in STATEFUL_TYPES:
        resource |= {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
    shown: Json = {"Ref": {"Value": {"Ref": LOGICAL_ID}}}
    for output, attribute in outputs.items():
        shown[output] = {"Value": {"Fn::GetAtt": [LOGICAL_ID, attribute]}}
    template: Json = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {LOGICAL_ID: resource},
        "Outputs": shown,
    }
    credentials: Json = {"credentials": [{"strategy": "static"}]} if outputs else {}
    if not secrets:
        return {"template": template} | credentials
    optional = [n for n in secrets if n not in _required(schema, properties)]
    template["Parameters"] = {
        n: {"Type": "String", "NoEcho": True} | ({"Default": ""} if n in optional else {})
        for n in secrets
    }
    if optional:
        template["Conditions"] = {
            f"Has{n}": {"Fn::Not": [{"Fn::Equals": [{"Ref": n}, ""]}]} for n in optional
        }
    return {
        "template": template,
        "parameters": {n: f"${{{_parameter(n)}}}" for n in secrets},
    } | credentials


def _name(resource_type: str) -> str:
    words = _WORD_STARTS.sub("-", resource_type.removeprefix("AWS::")).replace("::", "-")
    return f"aws-{words}".lower()


def _description(schema: Json, resource_type: str) -> str:
    text = " ".join(str(schema.get("description") or "").replace("``", "`").split())
    sentence = text.partition(". ")[0].rstrip(".")
    if not sentence or len(sentence) > _SENTENCE_ROOM:
        sentence = f"CloudFormation resource {resource_type}"
    return f"{sentence}."
