"""How answers look: columns for people, JSON and YAML for programs."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import orjson
import yaml

from isthmus.api.meta import Json

_GAP = "   "


class Output(StrEnum):
    """Values of ``--output``."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def say(text: str = "") -> None:
    """Print one line of the answer, at once: in a pipe, too, notes are to follow it in order."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print what is not part of the answer: progress, hints."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def dump(value: Any, output: Output) -> None:
    """Print a value for programs."""
    if output == Output.YAML:
        say(yaml.safe_dump(_plain(value), sort_keys=False, width=100).removesuffix("\n"))
    else:
        say(_json(value).decode())


def structured(output: Output) -> bool:
    """Tell whether the answer is for programs."""
    return output in (Output.JSON, Output.YAML)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str)


def _plain(value: Any) -> Any:
    """Turn dataclasses and decimals into what YAML knows."""
    return orjson.loads(_json(value))


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print left-aligned columns, as kubectl does."""
    for line in table(head, rows):
        say(line)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield left-aligned columns, line by line."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        line = _GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield line.rstrip()


def _cell(value: object) -> str:
    if value is None or value == "":
        return "<none>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def server_table(table: Json, *, namespaces: bool, wide: bool) -> None:
    """Print a ``meta.k8s.io/v1 Table`` that the server made."""
    defined = cast("list[Json]", table["columnDefinitions"])
    shown = [i for i, column in enumerate(defined) if wide or not column.get("priority")]
    rows = cast("list[Json]", table.get("rows") or [])
    head = [str(defined[i]["name"]).upper() for i in shown]
    body = [[row["cells"][i] for i in shown] for row in rows]
    if namespaces:
        head.insert(0, "NAMESPACE")
        for cells, row in zip(body, rows, strict=True):
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
    columns(head, body)


def age(timestamp: str | datetime | None, now: datetime | None = None) -> str:
    """Return how long ago, in the two largest units at most: ``4m``, ``3h10m``, ``12d``."""
    if not timestamp:
        return "-"
    then = datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else timestamp
    seconds = max(int(((now or datetime.now(UTC)) - then).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes}m" if hours < 10 and minutes else f"{hours}h"
    return f"{hours // 24}d"
