"""What is wrong with a CustomResourceDefinition, in Kubernetes' own words where they are good.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

import orjson

from isthmus.apiserver import approvals, formats
from isthmus.apiserver.crdnames import is_established
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.patterns import is_expression
from isthmus.apiserver.rulechecks import check_rules
from isthmus.apiserver.schema import Schema

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123',"
    " regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_PATH = "must be a simple json path starting with ."
_STILL_STORED = (
    "was previously a storage version, and must remain in spec.versions until a storage migration"
    " ensures no data remains persisted in {0} and removes {0} from status.storedVersions"
)
_LIST_TYPE, _MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
_UNTYPED = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


def check(crd: Json, old: Json | None) -> list[Cause]:
    """What is wrong with a definition whose own schema is satisfied."""
    spec = crd["spec"]
    versions = spec["versions"]
    causes = [*_check_names(crd), *_check_versions(spec)]
    if spec.get("preserveUnknownFields"):
        why = (
            "true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in"
            " spec.versions[*].schema instead"
        )
        causes.append(Cause("spec.preserveUnknownFields", why))
    before = [] if old is None else as_list(old["spec"].get("versions"))
    for part in ("schema", "subresources", "additionalPrinterColumns"):
        for index, version in enumerate(versions):
            known = part in version and any(
                other["name"] == version["name"] and other.get(part) == version[part]
                for other in before
            )
            causes += _check_part(part, version, _place(versions, index, part), known=known)
            if part not in version and part == "schema":
                where = f"spec.versions[{index}].schema.openAPIV3Schema"
                causes.append(Cause(where, "", "FieldValueRequired"))
            if all(other.get(part) == version.get(part) for other in versions):
                break  # what all versions have in common is told once
    causes += _check_stored(crd)
    causes += approvals.check(crd, old)
    if old is not None:
        causes += _check_changes(spec, old["spec"], established=is_established(old))
    return causes


def _check_stored(crd: Json) -> Iterator[Cause]:
    """A version in which objects may still be stored must be there to read them."""
    stored = as_list(as_map(crd.get("status")).get("storedVersions"))
    names = [version["name"] for version in crd["spec"]["versions"]]
    for index, name in enumerate(stored):
        if name not in names:
            why = f'"{name}": missing from spec.versions; {name} {_STILL_STORED.format(name)}'
            yield Cause(f"status.storedVersions[{index}]", why)


def unknown_formats(crd: Json) -> list[str]:
    """The formats in a definition's schemas that nothing checks, as often as they stand there."""
    found: list[str] = []

    def walk(node: Any) -> None:
        raw = as_map(node)
        if raw.get("format") and not formats.is_checked(raw):
            found.append(str(raw["format"]))
        parts = [raw.get("items"), raw.get("additionalProperties"), raw.get("not")]
        parts += as_map(raw.get("properties")).values()
        for name in ("allOf", "anyOf", "oneOf"):
            parts += as_list(raw.get(name))
        for part in parts:
            if isinstance(part, dict):
                walk(part)

    for version in crd["spec"]["versions"]:
        walk(as_map(version.get("schema")).get("openAPIV3Schema"))
    return found


def _place(versions: list[Json], index: int, part: str) -> str:
    """Where Kubernetes says that a part of a version is; what is alike in all is the kind's own."""
    if all(other.get(part) == versions[index].get(part) for other in versions):
        return "spec.validation" if part == "schema" else f"spec.{part}"
    return f"spec.versions[{index}].{part}"


def _check_part(part: str, version: Json, where: str, *, known: bool) -> Iterator[Cause]:
    if part == "schema" and version.get("schema") is not None:
        place = f"{where}.openAPIV3Schema"
        yield from _check_schema(as_map(version["schema"]), place, known=known)
    elif part == "subresources":
        scale = as_map(as_map(version.get("subresources")).get("scale"))
        for name in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"):
            if scale.get(name) and not scale[name].startswith("."):
                yield Cause(f"{where}.scale.{name}", f'"{scale[name]}": {_PATH}')
    elif part == "additionalPrinterColumns":
        for number, column in enumerate(as_list(version.get(part))):
            if column["type"] not in _COLUMN_TYPES:
                why = f'"{column["type"]}": must be one of {",".join(_COLUMN_TYPES)}'
                yield Cause(f"{where}[{number}].type", why)
            if not column["jsonPath"].startswith("."):
                yield Cause(f"{where}[{number}].JSONPath", f'"{column["jsonPath"]}": {_PATH}')


def _check_names(crd: Json) -> Iterator[Cause]:
    spec = crd["spec"]
    group, names = spec["group"], spec["names"]
    name = crd["metadata"]["name"]
    if name != f"{names['plural']}.{group}":
        yield Cause("metadata.name", f'"{name}": must be spec.names.plural+"."+spec.group')
    if "." not in group:
        yield Cause("spec.group", f'"{group}": should be a domain with at least one dot')
    for field in ("plural", "singular"):
        if not _NAME.fullmatch(names[field]):
            yield Cause(f"spec.names.{field}", f'"{names[field]}": {_LABEL}')
    for field in ("kind", "listKind"):
        if not _NAME.fullmatch(names[field].lower()):
            why = f'"{names[field]}": may have mixed case, but should otherwise match: {_LABEL}'
            yield Cause(f"spec.names.{field}", why)


def _check_versions(spec: Json) -> Iterator[Cause]:
    versions: list[Json] = spec["versions"]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        shown = orjson.dumps([version["name"] for version in versions]).decode()
        yield Cause(
            "spec.versions", f"{shown}: must have exactly one version marked as storage version"
        )
    if len({version["name"] for version in versions}) != len(versions):
        yield Cause("spec.versions", "must contain unique version names")
    for index, version in enumerate(versions):
        if not _NAME.fullmatch(version["name"]):
            yield Cause(f"spec.versions[{index}].name", f'"{version["name"]}": {_LABEL}')
    if as_map(spec.get("conversion")).get("strategy", "None") != "None":
        why = "conversion webhooks are not served; None shows what the schema of a version knows"
        yield Cause("spec.conversion.strategy", why, "FieldValueNotSupported")


def _check_changes(new: Json, old: Json, *, established: bool) -> Iterator[Cause]:
    changed = [("spec.group", new["group"], old["group"])]
    if established:  # before that there are no objects
        changed.append(("spec.scope", new["scope"], old["scope"]))
        changed.append(("spec.names.kind", new["names"]["kind"], old["names"]["kind"]))
    for field, value, before in changed:
        if value != before:
            yield Cause(field, f'"{value}": field is immutable')


def _check_schema(holder: Json, where: str, *, known: bool) -> Iterator[Cause]:
    raw = holder.get("openAPIV3Schema")
    if raw is None:
        yield Cause(where, "", "FieldValueRequired")
        return
    if raw.get("type") != "object":
        yield Cause(f"{where}.type", f'"{raw.get("type", "")}": must be object at the root')
        return
    causes = [*_check_metadata(raw, where), *_check_node(raw, where, "at the root")]
    yield from causes
    if not causes:
        try:
            Schema(raw)
        except ValueError as error:
            yield Cause(where, f"is no valid schema: {error}")
        else:
            yield from check_rules(raw, where, known=known)


_WHOLE = {"kind": "string", "apiVersion": "string", "metadata": "object"}


def _check_metadata(raw: Json, where: str) -> Iterator[Cause]:
    """What all objects have is as in all objects; only their name may be restricted."""
    properties = as_map(raw.get("properties"))
    for name, wanted in _WHOLE.items():
        found = as_map(properties.get(name)).get("type", "")
        if name in properties and found != wanted:
            yield Cause(f"{where}.properties[{name}].type", f'"{found}": must be {wanted}')
    metadata = as_map(properties.get("metadata"))
    if set(as_map(metadata.get("properties"))) - {"name", "generateName"}:
        why = (
            "must not specify anything other than name and generateName, but metadata is"
            " implicitly specified"
        )
        yield Cause(f"{where}.properties[metadata]", why, "FieldValueForbidden")


def _check_node(node: Any, field: str, place: str) -> Iterator[Cause]:
    """Every node of a structural schema has a type, and says nothing that cannot be kept."""
    if not isinstance(node, dict):
        yield Cause(field, "must be an object")
        return
    raw = as_map(node)
    kind = raw.get("type")
    if not kind and "$ref" not in raw and not any(raw.get(name) for name in _UNTYPED):
        yield Cause(f"{field}.type", f"must not be empty {place}", "FieldValueRequired")
    elif kind and kind not in _TYPES:
        known = ", ".join(f'"{name}"' for name in _TYPES)
        why = f'"{kind}": supported values: {known}'
        yield Cause(f"{field}.type", why, "FieldValueNotSupported")
    yield from _check_words(raw, field)
    yield from _check_default(raw, field)
    yield from _check_list(raw, field)
    for name, part in as_map(raw.get("properties")).items():
        yield from _check_node(part, f"{field}.properties[{name}]", "for specified object fields")
    if isinstance(raw.get("additionalProperties"), dict):
        where = f"{field}.additionalProperties"
        yield from _check_node(raw["additionalProperties"], where, "for specified object fields")
    if isinstance(raw.get("items"), dict):
        yield from _check_node(raw["items"], f"{field}.items", "for specified array items")


def _check_words(raw: Json, field: str) -> Iterator[Cause]:
    if "$ref" in raw:
        yield Cause(f"{field}.$ref", "$ref is not supported", "FieldValueForbidden")
    if raw.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Cause(f"{field}.uniqueItems", why, "FieldValueForbidden")
    if raw.get("properties") and isinstance(raw.get("additionalProperties"), dict):
        why = "additionalProperties and properties are mutual exclusive"
        yield Cause(f"{field}.additionalProperties", why, "FieldValueForbidden")
    pattern = raw.get("pattern")
    if isinstance(pattern, str) and not is_expression(pattern):
        why = f'"{pattern}": must be a valid regular expression, but isn\'t'
        yield Cause(f"{field}.pattern", why)


def _check_default(raw: Json, field: str) -> Iterator[Cause]:
    """A default must fit the schema that it is the default of."""
    if "default" not in raw:
        return
    own = {name: part for name, part in raw.items() if name != "default"}
    try:
        schema = Schema({"type": "object", "properties": {"default": own}}, whole=False)
    except ValueError:
        return  # it is refused for what is wrong with the schema itself
    # A copy, for what is checked is completed, and the definition stays as it was written.
    unknown, causes = schema.admit({"default": copy.deepcopy(raw["default"])})
    for cause in causes:
        yield Cause(f"{field}.{cause.field}", cause.message, cause.reason)
    for name in sorted(unknown):
        yield Cause(f"{field}.{name}", "must not have unknown fields")


def _check_list(raw: Json, field: str) -> Iterator[Cause]:
    if raw.get("type") != "array":
        return
    if not isinstance(raw.get("items"), dict):
        yield Cause(f"{field}.items", "must be specified", "FieldValueRequired")
        return
    if raw.get(_LIST_TYPE) != "map":
        return
    keys, items = as_list(raw.get(_MAP_KEYS)), as_map(raw["items"])
    if not keys:
        why = f"must not be empty if {_LIST_TYPE} is map"
        yield Cause(f"{field}.{_MAP_KEYS}", why, "FieldValueRequired")
    properties = as_map(items.get("properties"))
    for key in keys:
        if key not in as_list(items.get("required")) and "default" not in as_map(
            properties.get(key)
        ):
            why = (
                f"this property is in {_MAP_KEYS}, so it must have a default or be a required"
                " property"
            )
            where = f"{field}.items.properties[{key}].default"
            yield Cause(where, why, "FieldValueRequired")
