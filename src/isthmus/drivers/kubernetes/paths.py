"""Paths into objects, as templates write them."""

import re
from typing import Any, cast

from isthmus.api.meta import Json

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def look_up(node: Any, path: str) -> Any:
    """Follow a path like ``status.loadBalancer.ingress[0].ip``; None where it ends early."""
    for key, index in _STEP.findall(path):
        if key:
            node = cast("Json", node).get(key) if isinstance(node, dict) else None
        elif isinstance(node, list) and int(index) < len(cast("list[Any]", node)):
            node = cast("list[Any]", node)[int(index)]
        else:
            return None
    return node
