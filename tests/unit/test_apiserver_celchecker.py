"""Types of rules, before they run."""

from typing import Any

import pytest
import yaml

from isthmus.apiserver import crdchecks
from isthmus.apiserver.celchecker import check
from isthmus.apiserver.celtypes import BOOL, DYN, type_of
from tests.unit.test_apiserver_celfunctions import TRUE
from tests.unit.test_crd_files import CRDS

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "at": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "any": {"x-kubernetes-int-or-string": True},
        "a-b": {"type": "string"},
        "if": {"type": "string"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
GOOD = [
    "self.text.size() > 1 && self.number < 2.5 && self.flag",
    "self.list.all(x, x.startsWith('a')) && self.map.all(k, k == 'a') && 'a' in self.map",
    "self.list.all(i, x, i < 3 && x != '') && self.map.transformMap(k, v, v + 1)['a'] == 2",
    "self.any == 1 || self.any == 'a' || self.any.size() == 1",
    "self.a__dash__b == self.__if__ && has(self.at) && self.at > timestamp('2026-01-01T00:00:00Z')",
    "self.?text.orValue('') == '' && self.?list[?0].orValue('x') == 'x' && self.?map == oldSelf",
    "type(self.any) == string && self.at - self.at < duration('1h') && self.kind == 'x'",
    "self.list.map(x, x.size()).sum() == 3 && self.list.filter(x, x == 'a').size() == 1",
    "(self.flag ? self.list : []).size() == 0 && self.metadata.name != ''",
]
BAD = [
    ("self.gone == 1", "1:5: undefined field 'gone'"),
    ("self.free.x == 1", "undefined field 'x'"),
    ("self.text > 1", "1:11: found no matching overload for '_>_' applied to '(string, int)'"),
    ("self.number == 'a'", "overload for '_==_' applied to '(int, string)'"),
    ("self.text.x == 1", "type 'string' does not support field selection"),
    ("self.number.startsWith('a')", "overload for 'startsWith' applied to 'int.(string)'"),
    ("self.list.all(x, x.size())", "1:24: expected type 'bool' but found 'int'"),
    ("self.number.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
    ("1 in self.list", "overload for '@in' applied to '(int, list(string))'"),
    ("self.map[1] == 1", "overload for '_[_]' applied to '(map(string, int), int)'"),
    ("nobody == 1", "1:1: undeclared reference to 'nobody' (in container '')"),
    ("nothing(self.text)", "undeclared reference to 'nothing'"),
    ("self.text.matches('(')", "1:19: invalid matches argument"),
    ("self.number + self.share > 1.0", "overload for '_+_' applied to '(int, double)'"),
    ("self.text", "must evaluate to a bool"),
]


def said(rule: str) -> str:
    whole = type_of(SCHEMA, root=True)
    assert whole is not None
    return check(rule, {"self": whole, "oldSelf": DYN}, BOOL)


@pytest.mark.parametrize("rule", [*GOOD, *TRUE])
def test_good_rules(rule: str) -> None:
    assert said(rule) == ""


@pytest.mark.parametrize(("rule", "why"), BAD)
def test_bad_rules(rule: str, why: str) -> None:
    assert why in said(rule)


def test_our_own_kinds_have_good_rules() -> None:
    for path in CRDS.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        assert crdchecks.check(definition, None) == []
