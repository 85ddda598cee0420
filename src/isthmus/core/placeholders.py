"""The placeholders that only the driver can fill: ``${resources.X}``, ``${result.X}`` and others.

The catalog's own substitution (``core.render``) leaves them as they are.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from isthmus.core.render import as_text

_NAME = re.compile(r"\$\{((?:resources|outputs|result|call)\.[^}]+)\}")


def fill(node: Any, scope: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    """Return a copy with the known names filled in, and the names that are not known.

    A string that is one placeholder keeps the type of its value.
    """
    missing: set[str] = set()
    return _fill(node, scope, missing), frozenset(missing)


def strings(node: Any) -> Iterator[str]:
    """Yield every string value in a JSON-like value."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in cast("Mapping[str, Any]", node).values():
            yield from strings(value)
    elif isinstance(node, list | tuple):
        for value in cast("list[Any]", node):
            yield from strings(value)


def _fill(node: Any, scope: Mapping[str, Any], missing: set[str]) -> Any:
    if isinstance(node, str):
        return _text(node, scope, missing)
    if isinstance(node, Mapping):
        items = cast("Mapping[str, Any]", node).items()
        return {k: _fill(v, scope, missing) for k, v in items}
    if isinstance(node, list | tuple):
        return [_fill(v, scope, missing) for v in cast("list[Any]", node)]
    return node


def _text(text: str, scope: Mapping[str, Any], missing: set[str]) -> Any:
    names = cast("list[str]", _NAME.findall(text))
    unknown = [name for name in names if name not in scope]
    missing.update(unknown)
    if unknown or not names:
        return text
    if text == f"${{{names[0]}}}":
        return scope[names[0]]
    return _NAME.sub(lambda match: as_text(scope[match[1]]), text)
