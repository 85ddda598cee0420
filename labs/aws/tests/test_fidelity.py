"""`labs/aws/FIDELITY.md` is made from the types themselves and from what the contract test asks."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus_lab_aws import ministack, registration, types
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import ResourceType
from isthmus_lab_aws.types.plain import Named
from labs.aws.tests.contract_cases import cases

PAGE = Path(__file__).parents[1] / "FIDELITY.md"

HEAD = """\
# How faithful the AWS lab is, type by type

Made by `test_fidelity.py` from the types' code and from the contract test (`contract_cases.py`);
`GOLDEN=overwrite pytest labs/aws/tests/test_fidelity.py` writes it anew. What holds for every type
(events, rollback, rights, faults, restart) is in `README.md`.

- **by**: *lab*: written here. *ministack*: its implementation, as it is. *ministack+*: the same,
  with guards or corrections of ours. *generic*: kept in memory and checked by AWS's schema, with
  no service behind it.
- **create**: how long AWS takes, which the lab multiplies by its time scale.
- **states**: the service's own API shows `creating`, `modifying` and `deleting` meanwhile.
- **taken**, **protected**: a create over an existing name, or a delete of what is full, protected
  or in use, is refused as in AWS.
- **drift**, **import**: CloudFormation's drift detection and resource import know the type.
- **contract**: what the contract test proves over the network: *life* (made, gone without a
  trace), *attributes* (every one listed resolves), *update* (the change is seen in the service's
  API and the physical id stays).

| type | by | create | states | taken | protected | drift | import | contract |
|---|---|---|---|---|---|---|---|---|
"""


@pytest.fixture(scope="module", autouse=True)
def prepared():
    before = dict(os.environ)
    ministack.prepare(1)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_page_is_up_to_date():
    kinds = {kind.name: kind for extension in types.extensions() for kind in extension.types}
    for kind in kinds.values():
        registration.register(kind)
    registration.register_imports(kinds.values())
    named = sorted(set(cases()) | {name for name, kind in kinds.items() if not kind.generic})
    text = HEAD + "".join(_row(name, kinds.get(name)) for name in named)
    generic = sum(kind.generic for kind in kinds.values())
    if generic:
        text += f"\nBesides these, {generic} types are generic.\n"
    if os.environ.get("GOLDEN") == "overwrite":
        PAGE.write_text(text)
    assert text == PAGE.read_text(), "GOLDEN=overwrite if that is meant"


def _row(name: str, kind: ResourceType | None) -> str:
    drift = ministack.module("services.cloudformation.drift")._DRIFT_READERS
    imports = ministack.module("services.cloudformation.changesets")._IMPORT_LOOKUPS
    cells = [
        f"`{name}`",
        _maker(kind),
        _time(kind.delays.create) if kind else "5 s",
        _mark(_overrides(kind, "begin")),
        _mark(_overrides(kind, "taken") and not _nameless(kind)),
        _mark(_overrides(kind, "undeletable")),
        _mark(name in drift),
        _mark(name in imports),
        _contract(name),
    ]
    return f"| {' | '.join(cells)} |\n"


def _nameless(kind: ResourceType | None) -> bool:
    return isinstance(kind, Named) and type(kind).taken is Named.taken and not kind.key


def _maker(kind: ResourceType | None) -> str:
    if kind is None:
        return "ministack"
    if kind.generic:
        return "generic"
    return "ministack+" if isinstance(kind, NativeType) else "lab"


def _contract(name: str) -> str:
    part = cases().get(name)
    if part is None:
        return "-"
    proven = ["life"]
    if part.attributes:
        proven.append("attributes")
    if part.read is not None:
        proven.append("update")
    return ", ".join(proven)


def _overrides(kind: ResourceType | None, method: str) -> bool:
    return kind is not None and getattr(type(kind), method) is not getattr(ResourceType, method)


def _mark(holds: bool) -> str:
    return "yes" if holds else "-"


def _time(delay: timedelta) -> str:
    seconds = delay.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
