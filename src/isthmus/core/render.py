"""The one substitution of the catalog: ``${name}`` in strings of a template.

A string that is one placeholder keeps the type of its value; inside longer text the value becomes
text. ``$${`` is a literal ``${``. Names that the scope does not own (``${AWS::Region}``,
``${Queue.Arn}``) belong to the engine and stay as they are.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from isthmus.errors import InvalidSpec

PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_OURS = re.compile(
    r"^[A-Za-z_][A-Za-z0-9_-]*$|^(isthmus|outputs|provider|credential|action|binding|handover)\."
)


def substitute(node: Any, scope: Mapping[str, Any], *, path: str = "") -> Any:
    """Return a copy of a JSON-like value with every placeholder of ours filled in.

    Raises:
        InvalidSpec: A placeholder of ours is not in the scope; the message names path and names.
    """
    if isinstance(node, str):
        return _text(node, scope, path)
    if isinstance(node, Mapping):
        items = cast("Mapping[str, Any]", node).items()
        return {k: substitute(v, scope, path=_join(path, k)) for k, v in items}
    if isinstance(node, list | tuple):
        values = cast("list[Any]", node)
        return [substitute(v, scope, path=f"{path}[{i}]") for i, v in enumerate(values)]
    return node


def placeholders(node: Any, *, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, name) of every placeholder of ours."""
    if isinstance(node, str):
        for match in PLACEHOLDER.finditer(node):
            if match[1] is not None and _OURS.match(match[1]):
                yield path, match[1]
    elif isinstance(node, Mapping):
        for key, value in cast("Mapping[str, Any]", node).items():
            yield from placeholders(value, path=_join(path, key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(cast("list[Any]", node)):
            yield from placeholders(value, path=f"{path}[{index}]")


def _text(text: str, scope: Mapping[str, Any], path: str) -> Any:
    whole = PLACEHOLDER.fullmatch(text)
    if whole is not None and whole[1] is not None and _OURS.match(whole[1]):
        return _value(whole[1], scope, path)
    return PLACEHOLDER.sub(_filler(scope, path), text)


def _filler(scope: Mapping[str, Any], path: str) -> Callable[[re.Match[str]], str]:
    def fill(match: re.Match[str]) -> str:
        name: str | None = match[1]
        if name is None:
            return "${"
        return as_text(_value(name, scope, path)) if _OURS.match(name) else match[0]

    return fill


def _value(name: str, scope: Mapping[str, Any], path: str) -> Any:
    if name not in scope:
        known = ", ".join(sorted(scope)) or "none"
        raise InvalidSpec(
            f"{path or 'template'}: ${{{name}}} is not known here; known are: {known}."
        )
    return scope[name]


def as_text(value: Any) -> str:
    """Write a value as native engines read it: true and false in lower case, lists by comma."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(as_text(item) for item in cast("list[Any]", value))
    return "" if value is None else str(value)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
