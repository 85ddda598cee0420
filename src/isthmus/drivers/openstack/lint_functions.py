"""Lint of what a HOT template refers to: intrinsic functions, and whether their targets exist.

https://docs.openstack.org/heat/latest/template_guide/hot_spec.html#intrinsic-functions
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.core.findings import Finding

FUNCTIONS: Final = frozenset(
    {
        "and", "contains", "digest", "equals", "filter", "get_attr", "get_file", "get_param",
        "get_resource", "if", "list_concat", "list_concat_unique", "list_join", "make_url",
        "map_merge", "map_replace", "not", "or", "repeat", "resource_facade", "str_replace",
        "str_replace_strict", "str_replace_vstrict", "str_split", "yaql",
    }
)  # fmt: skip
_LOOKS_LIKE_ONE: Final = re.compile(r"^(get|str|list|map)_[a-z_]+$|^Fn::|^Ref$")
_PSEUDO: Final = frozenset({"OS::stack_id", "OS::stack_name", "OS::project_id"})
_ANY_ATTRIBUTE: Final = frozenset(
    {
        "OS::Heat::AutoScalingGroup",
        "OS::Heat::InstanceGroup",
        "OS::Heat::ResourceChain",
        "OS::Heat::ResourceGroup",
        "OS::Heat::Stack",
    }
)
"""Types that pass on the attributes of what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a template may refer to."""

    parameters: frozenset[str]
    hidden: frozenset[str]
    resources: Mapping[str, str]
    """Name to type."""
    conditions: frozenset[str]
    files: frozenset[str]
    attributes: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Of each known type."""


def is_function(value: Any) -> bool:
    """Tell whether a value is the call of a function, be it one that there is not."""
    if not isinstance(value, dict) or len(cast("Json", value)) != 1:
        return False
    name = str(next(iter(cast("Json", value))))
    return name in FUNCTIONS or _LOOKS_LIKE_ONE.match(name) is not None


def check(node: Any, path: str, names: Names) -> Iterator[Finding]:
    """Check every function in a part of a template."""
    if isinstance(node, list):
        for index, item in enumerate(cast("list[Any]", node)):
            yield from check(item, f"{path}[{index}]", names)
    elif isinstance(node, dict):
        document = cast("Json", node)
        if len(document) == 1:
            name, argument = next(iter(document.items()))
            yield from _function(str(name), argument, path, names)
        for key, value in document.items():
            yield from check(value, f"{path}.{key}", names)


def reads_hidden(node: Any, names: Names) -> Iterator[str]:
    """Yield the hidden parameters that a part of a template repeats."""
    if isinstance(node, dict):
        for key, value in cast("Json", node).items():
            if key == "get_param" and _first(value) in names.hidden:
                yield _first(value)
            yield from reads_hidden(value, names)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from reads_hidden(item, names)


def _function(name: str, argument: Any, path: str, names: Names) -> Iterator[Finding]:
    if name not in FUNCTIONS:
        if _LOOKS_LIKE_ONE.match(name):
            yield Finding(path=path, message=f"HOT has no function {name!r}", rule="function")
        return
    target = _first(argument)
    if not target or "%" in target:  # A group writes %index% into its members' definition.
        return
    known = {
        "get_param": names.parameters | _PSEUDO,
        "get_resource": names.resources.keys(),
        "get_attr": names.resources.keys(),
        "get_file": names.files,
        "if": names.conditions,
    }.get(name)
    if known is not None and target not in known:
        what = {"get_param": "parameter", "get_file": "file", "if": "condition"}
        message = f"{name}: there is no {what.get(name, 'resource')} {target!r}"
        yield Finding(path=path, message=message, rule="reference")
    elif name == "get_attr":
        yield from _attribute(cast("list[Any]", argument), path, names)


def _attribute(argument: list[Any], path: str, names: Names) -> Iterator[Finding]:
    kind = names.resources.get(str(argument[0]), "")
    known = names.attributes.get(kind)
    if kind in _ANY_ATTRIBUTE or known is None or len(argument) < 2:
        return
    if isinstance(argument[1], str) and argument[1] not in known:
        listed = ", ".join(sorted(known))
        message = f"get_attr: {kind} has no attribute {argument[1]!r}; it has: {listed}"
        yield Finding(path=path, message=message, rule="attribute")


def _first(argument: Any) -> str:
    """Return the name that a function speaks of; empty where another function makes it."""
    if isinstance(argument, list) and argument:
        return _first(cast("list[Any]", argument)[0])
    return argument if isinstance(argument, str) else ""
