"""Conditions and lists of a template: Heat and CloudFormation have them, the Kubernetes API not.

* ``{$if: [condition, this, else]}``: one of both; without an ``else``, nothing. A condition holds
  unless it is false, null, 0 or empty.
* ``{$each: [list, body]}``: the body once for each item of the list; in it ``{$item: path}`` is the
  item's value there, ``{$item: ""}`` the item itself. Where the item has no such value it is null.

Both may stand anywhere; as an entry of ``manifests`` their results are manifests like all others.
"""

from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes.paths import look_up
from isthmus.errors import InvalidSpec

IF, EACH, ITEM = "$if", "$each", "$item"
_NO_ITEM = object()


def expanded(node: Any, where: str, item: Any = _NO_ITEM) -> Any:
    """Return a copy of a document with its conditions decided and its lists written out.

    Raises:
        InvalidSpec: One is not written as it must be; the message names ``where``.
    """
    if isinstance(node, list):
        return [expanded(entry, where, item) for entry in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("Json", node)
    if IF in fields:
        return _either(fields[IF], where, item)
    if EACH in fields:
        return _each(fields[EACH], where, item)
    if ITEM in fields:
        if item is _NO_ITEM:
            raise InvalidSpec(f"{where}: {ITEM} stands outside of an {EACH}.")
        return look_up(item, str(fields[ITEM]))
    return {key: expanded(value, where, item) for key, value in fields.items()}


def _either(written: Any, where: str, item: Any) -> Any:
    if not isinstance(written, list) or len(cast("list[Any]", written)) not in (2, 3):
        raise InvalidSpec(f"{where}: write {IF}: [condition, this, else].")
    condition, *branches = cast("list[Any]", written)
    holds = bool(expanded(condition, where, item))
    chosen = branches[0] if holds else next(iter(branches[1:]), None)
    return expanded(chosen, where, item)


def _each(written: Any, where: str, item: Any) -> list[Any]:
    if not isinstance(written, list) or len(cast("list[Any]", written)) != 2:
        raise InvalidSpec(f"{where}: write {EACH}: [list, body].")
    listed, body = cast("list[Any]", written)
    items = expanded(listed, where, item)
    if not isinstance(items, list):
        raise InvalidSpec(f"{where}: {EACH} needs a list, and {items!r} is none.")
    return [expanded(body, where, one) for one in cast("list[Any]", items)]
