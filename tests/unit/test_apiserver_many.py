"""What callers send many of costs a time that grows with their number, not with its square."""

import asyncio
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.apiserver.chores import Chore
from isthmus.apiserver.config import Limits
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.expressions import rules_of
from isthmus.apiserver.fields import members
from isthmus.apiserver.http import load
from isthmus.apiserver.kinds import builtin_resources
from isthmus.apiserver.metadata import check_new_finalizers
from isthmus.apiserver.ownerrefs import check_owners, without_repeats
from isthmus.apiserver.ownership import Writer, apply
from isthmus.apiserver.patch import strategic_patch
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.secretbox import SecretBox
from isthmus.apiserver.selectors import parse, parse_labels
from isthmus.apiserver.store import Store
from tests.apiserver_client import widget, widget_definition

MANY = 10_000
CONFIG_MAPS = next(r for r in builtin_resources() if r.plural == "configmaps")
MERGING = Schema(
    widget_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
).merging  # fmt: skip
ME = Writer("me", "example.com/v1", "2026-01-01T00:00:00Z")


@pytest.fixture(autouse=True)
def soon() -> Generator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 5.0


def applied(live: Any, managers: list[Any], spec: Any) -> tuple[Any, list[Any]]:
    return apply(live, widget(**spec), MERGING, managers, ME, force=True)


@pytest.mark.parametrize("kind", ["tags", "ports", "others"])
def test_applying_others_than_before(kind: str) -> None:
    def those(letter: str) -> Any:
        names = [f"{letter}{number}" for number in range(MANY)]
        if kind == "tags":
            return {"tags": names}
        if kind == "ports":
            return {"ports": [{"name": name, "port": 1} for name in names]}
        return {"others": dict.fromkeys(names, "x")}

    live, managers = applied({}, [], those("a"))
    merged, managers = applied(live, managers, those("b"))
    turned = those("b")
    if kind != "others":
        turned[kind].reverse()
    merged, managers = applied(merged, managers, turned)

    assert merged["spec"][kind] == turned[kind]
    assert len(list(members(managers[0]["fieldsV1"]))) >= MANY


def test_strategic_patches_of_long_lists() -> None:
    old, new = ([f"{letter}.b/c{number}" for number in range(MANY)] for letter in "xy")
    merged = strategic_patch({"finalizers": old}, {"finalizers": new})
    assert merged["finalizers"] == old + new
    left = strategic_patch(merged, {"$deleteFromPrimitiveList/finalizers": old})
    assert left["finalizers"] == new
    owners = {"ownerReferences": [{"uid": uid} for uid in old]}
    named = {"ownerReferences": [{"uid": uid, "name": "a"} for uid in reversed(old)]}
    assert strategic_patch(owners, named)["ownerReferences"] == list(
        reversed(named["ownerReferences"])
    )


def test_equal_references_and_finalizers() -> None:
    named = {"apiVersion": "v1", "kind": "A", "name": "a", "controller": True}
    owners: list[Any] = [{**named, "uid": str(number)} for number in range(MANY)]
    metadata: Any = {"ownerReferences": [*owners, *owners]}

    assert "duplicate UID(s)" in without_repeats(metadata)[0]
    assert metadata["ownerReferences"] == owners
    assert 0 < len(check_owners(owners[:3000])) < 20, "each shows all of them"
    names = [f"a.b/c{number}" for number in range(MANY)]
    assert check_new_finalizers(CONFIG_MAPS, [*names, "x.y/z"], names) == ([], [])


@pytest.mark.parametrize("last", ["a1", 1.0, {"b": 1, "a": 2}])
def test_a_set_with_one_value_twice(last: Any) -> None:
    items: Any = {"x-kubernetes-preserve-unknown-fields": True}
    listed = {"type": "array", "x-kubernetes-list-type": "set", "items": items}
    schema = Schema({"type": "object", "properties": {"a": listed}}, whole=False)
    others: list[Any] = [f"a{number}" for number in range(MANY)]

    _, causes = schema.admit({"a": [True, 1, {"a": 2, "b": 1}, *others, last]})

    assert [cause.field for cause in causes] == [f"a[{MANY + 3}]"]


@pytest.mark.parametrize("part", [",", "a,", "a in (,", "a in (b),", "(,)", " ", "!a,", "a>1,"])
def test_selectors_of_many_parts(part: str) -> None:
    for text in (part * (16_000 // len(part)), part * (16_000 // len(part)) + "c"):
        with suppress(ApiError):
            parse_labels(text)({"a": "b"})


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_yaml_that_nests_without_end(text: str) -> None:
    """The C library recurses: this ended the process."""
    with pytest.raises(ApiError, match="nested deeper"):
        load(text.encode(), 128, yaml=True)


@pytest.mark.parametrize(
    "rule",
    [
        "self.a.replace('', self.a) == ''",
        "self.a.replace('x', self.a) == ''",
        "lists.range(100000).map(i, self.a).join() == ''",
        "self.l.map(i, self.a).join(self.a) == ''",
        "'%.999999999f'.format([1.0]) == ''",
        "timestamp('2024-01-01T00:00:00Z').getHours('America') == 1",
        "timestamp('2024-01-01T00:00:00Z').getHours('../etc') == 1",
    ],
)
def test_rules_whose_values_would_be_huge(rule: str) -> None:
    rules = rules_of({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    (cause,) = rules.check({"a": "x" * 100_000, "l": [1] * 1000})

    assert cause.sentence()


async def test_a_task_outlives_what_it_cannot_handle(tmp_path: Path) -> None:
    box = SecretBox([b"k" * 32])
    store = await Store.open(tmp_path / "x.sqlite", box, frozenset(), Limits())
    done, handled = list[str](), asyncio.Event()

    def step(name: str) -> None:
        done.append(name)
        if name == "odd":
            raise TypeError(name)
        handled.set()

    chore = Chore(store, step)
    chore.start()
    for name in ("odd", "even"):
        chore.mark(name)
    async with asyncio.timeout(60):
        await handled.wait()
    await chore.stop()
    await store.close()
    assert done == ["odd", "even"]


def test_a_long_value_is_the_same_as_itself() -> None:
    long = orjson.loads(orjson.dumps({str(n): [n, True, None] for n in range(MANY)}))
    assert strategic_patch(long, {"a": None}) == long


def test_a_selector_has_so_many_requirements() -> None:
    assert parse_labels(",".join(["a"] * 256))({"a": "b"})
    with pytest.raises(ApiError, match="at most 256"):
        parse_labels(",".join(["a"] * 257))
    with pytest.raises(ApiError, match="at most 256"):
        parse(CONFIG_MAPS, "", ",".join(["metadata.name!=a"] * 257))
