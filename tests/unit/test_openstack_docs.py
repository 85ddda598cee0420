"""The reference page names what the driver's tables hold."""

import os
import re
from itertools import groupby
from pathlib import Path

from isthmus.drivers.openstack.actions import ALLOWED
from isthmus.drivers.openstack.stateful import STATEFUL_TYPES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "openstack-offerings.md"


def _stateful() -> str:
    split = sorted(t.split("::")[1:] for t in STATEFUL_TYPES)
    rows = [
        f"| {service} | {', '.join(kind for _, kind in types)} |"
        for service, types in groupby(split, key=lambda pair: pair[0])
    ]
    return "\n".join(["| OS:: | holds data |", "|---|---|", *rows])


def _calls() -> str:
    rows = [
        f"| {service} | {', '.join(f'`{name}`' for name in sorted(names))} |"
        for service, names in sorted(ALLOWED.items())
    ]
    return "\n".join(["| service | operations |", "|---|---|", *rows])


def _with(text: str, name: str, table: str) -> str:
    block = re.compile(rf"(<!-- {name}:begin [^\n]*\n).*?(\n<!-- {name}:end -->)", re.DOTALL)
    assert block.search(text), f"{PAGE} has lost the marks of {name}"
    return block.sub(lambda match: match[1] + table + match[2], text)


def test_the_page_lists_stateful_types_and_allowed_calls():
    text = PAGE.read_text()
    wanted = _with(_with(text, "stateful-types", _stateful()), "allowed-calls", _calls())
    if os.environ.get("GOLDEN") == "overwrite":
        PAGE.write_text(wanted)
        return
    assert text == wanted, "run again with GOLDEN=overwrite and read the diff"
