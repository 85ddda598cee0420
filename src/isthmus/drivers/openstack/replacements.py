"""Which of the replacements that Heat foresees will happen.

Heat's dry run of an update knows no physical ids: what refers to another resource in a property
that cannot be changed in place is foreseen to be replaced, whatever the update is for. The update
itself knows them. So a replacement counts where the resource failed before, where such a property
differs between the two templates, or where it refers to what is replaced, made or removed.
https://opendev.org/openstack/heat/src/branch/master/heat/engine/update.py (``StackUpdate.preview``)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.core.stacks import Change, Verb
from isthmus.drivers.openstack.readings import SERVER

HIDDEN: Final = "******"
"""What Heat shows of a hidden parameter; whether it changes nobody can tell."""
SIZES: Final = frozenset({"count", "desired_capacity", "max_size", "min_size", "removal_policies"})
"""Properties of a group that only say how many members it has."""

_JOINING: Final = frozenset({"and", "or", "not"})
"""What makes a condition of others."""
_POLICIES: Final = {
    "user_data": ("user_data_update_policy", "REPLACE"),
    "image": ("image_update_policy", "REBUILD"),
    "flavor": ("flavor_update_policy", "RESIZE"),
}
"""Of a server: which property says what a change of another one does, and its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A template as it was or will be deployed."""

    template: Json
    files: Mapping[str, str]
    parameters: Mapping[str, str]

    def resource(self, name: str) -> Json:
        """Return a resource's definition as it is meant: with conditions and values put in."""
        resources = cast("dict[str, Json]", self.template.get("resources") or {})
        declared = resources.get(name) or {}
        return {key: self._meant(value) for key, value in declared.items() if key != "depends_on"}

    def properties(self, name: str) -> Json:
        """Return its properties as they are meant."""
        return cast("Json", self.resource(name).get("properties") or {})

    def _meant(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._meant(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        found = {key: self._meant(value) for key, value in cast("Json", node).items()}
        if "if" in found and isinstance(found["if"], list):
            condition, *cases = cast("list[Any]", found["if"])
            found["if"] = [self._condition(condition), *cases]
        if "get_param" in found:
            named: Any = found["get_param"]
            name = str(cast("list[Any]", named)[0] if isinstance(named, list) else named)
            found["value"] = self.parameters.get(name, "")
        return found

    def _condition(self, node: Any) -> Any:
        """Return a condition with the named ones put in; what is compared is no name."""
        declared = cast("Json", self.template.get("conditions") or {})
        if isinstance(node, str) and node in declared:
            return self._condition(declared[node])
        if isinstance(node, list):
            return [self._condition(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        parts = cast("Json", node).items()
        return {k: self._condition(v) if k in _JOINING else self._meant(v) for k, v in parts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The deployed template and the wanted one."""

    before: Version
    after: Version

    @classmethod
    def of(cls, before: Version, after: Version) -> "Versions":
        """Pair them; parameters that cannot be read count as unchanged."""
        same = {name: HIDDEN for name, value in before.parameters.items() if value == HIDDEN}
        told = {n: v for n, v in after.parameters.items() if n in before.parameters} | same
        return cls(before=before, after=replace(after, parameters={**before.parameters, **told}))

    def changes(self, name: str) -> bool:
        """Tell whether more of a resource changes than how many members it has."""
        return self._files_change() or _unsized(self.before, name) != _unsized(self.after, name)

    def replaces(self, name: str, fixed: frozenset[str]) -> bool:
        """Tell whether it differs in what cannot be changed in place."""
        old, new = self.before.properties(name), self.after.properties(name)
        differing = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        kinds = {version.resource(name).get("type") for version in (self.before, self.after)}
        return self._files_change() or len(kinds) > 1 or bool(differing & fixed)

    def rebuilds(self, name: str) -> bool:
        """Tell whether an update in place would write a server's disk anew.

        Heat counts a server's rebuild with another image as an update, though its disk is lost.
        """
        return self.before.properties(name).get("image") != self.after.properties(name).get("image")

    def _files_change(self) -> bool:
        there = self.before.files
        return {k: v for k, v in there.items() if k in self.after.files} != self.after.files


def _unsized(version: Version, name: str) -> Json:
    properties = {k: v for k, v in version.properties(name).items() if k not in SIZES}
    return version.resource(name) | {"properties": properties}


def fixed_properties(schema: Json, properties: Mapping[str, Any], kind: str) -> frozenset[str]:
    """Return the properties of a resource that cannot be changed in place.

    Args:
        schema: What Heat says of the type's properties.
        properties: Those of the resource.
        kind: Its type.
    """
    fixed = {name for name, said in schema.items() if not said.get("update_allowed")}
    if kind == SERVER:
        for name, (policy, usual) in _POLICIES.items():
            fixed -= {name}
            fixed |= {name} if properties.get(policy, usual) == "REPLACE" else set()
    return frozenset(fixed)


def happening(
    changes: Sequence[Change],
    versions: Versions,
    fixed: Mapping[str, frozenset[str]],
    failed: frozenset[str],
) -> list[Change]:
    """Return the changes without the replacements that will not happen.

    Args:
        changes: What Heat foresees of the stack's own resources.
        versions: What they follow from.
        fixed: By the names of resources to be replaced: what cannot be changed in place.
        failed: Names of resources that Heat makes anew because they failed; not of those whose
            mark is lifted before the update.
    """
    doubtful = {change.logical_id for change in changes if change.verb is Verb.REPLACE}
    moved = {c.logical_id for c in changes if c.verb in (Verb.CREATE, Verb.DELETE)}
    moved |= {n for n in doubtful if n in failed or versions.replaces(n, fixed[n])}
    while more := {n for n in doubtful - moved if _follows(n, versions, fixed[n], moved)}:
        moved |= more
    found: list[Change] = []
    for change in changes:
        if change.verb is not Verb.REPLACE or change.logical_id in moved:
            found.append(change)
        elif versions.changes(change.logical_id):
            found.append(replace(change, verb=Verb.UPDATE))
    return found


def _follows(name: str, versions: Versions, fixed: frozenset[str], moved: set[str]) -> bool:
    properties = versions.after.properties(name)
    return any(
        used in moved
        for key, value in properties.items()
        if key in fixed
        for used in _references(value)
    )


def _references(node: Any) -> Iterator[str]:
    """Yield the names of the resources that a part of a template refers to."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _references(item)
    if not isinstance(node, dict):
        return
    for key, value in cast("Json", node).items():
        if key == "get_resource" and isinstance(value, str):
            yield value
        elif key == "get_attr" and isinstance(value, list) and value:
            yield str(cast("list[Any]", value)[0])
        yield from _references(value)
