"""Kubernetes' functions in rules."""

import pytest

from isthmus.apiserver.celloops import TooExpensive
from isthmus.apiserver.celprogram import Program, parse
from isthmus.apiserver.expressions import rules_of
from isthmus.apiserver.schema import Schema

TRUE = [
    "'abc'.charAt(1) == 'b' && 'abc'.charAt(3) == ''",
    "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'a-b-c'.split('-', 2) == ['a', 'b-c']",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
    "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && [1, 2].indexOf(2) == 1",
    "'TacoCat'.lowerAscii() == 'tacocat' && ' x '.trim() == 'x'",
    "'hello hello'.replace('he', 'we', 1) == 'wello hello' && ['a', 'b'].join('/') == 'a/b'",
    "'%s has %d'.format(['a', 2]) == 'a has 2'",
    "[1, 2, 2].isSorted() && [1, 2].sum() == 3 && [1, 1].distinct() == [1]",
    "sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1]) && !sets.intersects([1], [2])",
    "'sets.contains(' != ''",
    "isURL('https://a.b:80/c?d=e') && !isURL('../a') && !isURL('https://a b')",
    "url('https://u:p@a.b:80/c?d=e').getHost() == 'a.b:80'",
    "url('https://[::1]:80/c').getHostname() == '::1' && url('https://a').getPort() == ''",
    "url('https://a/x%20y?d=e').getEscapedPath() == '/x%20y'",
    "url('https://a/?d=e&d=f').getQuery()['d'] == ['e', 'f']",
    "isIP('10.0.0.1') && isIP('::1') && !isIP('10.0.0.01') && ip.isCanonical('::1')",
    "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && ip('::1') == ip('0:0::1')",
    "cidr('10.0.0.0/8').containsIP('10.1.1.1')",
    "cidr('10.0.0.1/8').masked() == cidr('10.0.0.0/8')",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !isCIDR('10.0.0.0')",
    "quantity('1Ki') == quantity('1024') && quantity('500m').add(quantity('1.5')).asInteger() == 2",
    "quantity('1G').isLessThan(quantity('1Gi'))",
    "!isQuantity('1x') && quantity('-1').sign() == -1",
    "semver('1.10.0').isGreaterThan(semver('1.9.0'))",
    "semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
    "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
    "'a1b22'.findAll('[0-9]+', 1) == ['1'] && 'x'.find('y') == '' && 'x'.findAll('y') == []",
    "[1, 2].all(i, v, v == i + 1) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
    "[1, 2, 2].existsOne(i, v, v == 1) && ![1, 2, 2].existsOne(v, v == 2)",
    "[1, 2].transformList(i, v, i * v) == [0, 2] && {'a': 1}.transformList(k, v, k) == ['a']",
    "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2) == {'b': 4}",
    "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
    "{'a': 1}.?a.value() == 1 && !{'a': 1}.?b.hasValue() && {'a': 1}.?b.orValue(2) == 2",
    "{'a': {'b': 1}}.?a.?b == optional.of(1) && {'a': 1}[?'b'].or(optional.of(3)).value() == 3",
    "[?optional.none(), 1] == [1] && {?'a': optional.of(1), ?'b': optional.none()} == {'a': 1}",
    "optional.of(1).optMap(v, v + 1).value() == 2 && !optional.ofNonZeroValue('').hasValue()",
    "!format.dns1123Label().validate('a-b').hasValue() && format.uri().validate('').hasValue()",
    "format.named('nothing') == optional.none() && format.named('date').hasValue()",
    "format.dns1123LabelPrefix().validate('a-') == optional.none()",
    "[1, 2, 3].slice(1, 2) == [2] && [[1], [2]].flatten() == [1, 2] && lists.range(2) == [0, 1]",
    "[3, 1].sort() == [1, 3] && ['bb', 'a'].sortBy(x, x.size()) == ['a', 'bb']",
    "7 / -2 == -3 && -7 % 3 == -1 && dyn(1) == 1.0 && dyn(1u) == 1 && !(dyn(1) == dyn(true))",
    "type(1) == int && type(1u) == uint && type([]) == list && type(null) == null_type",
    "(1 / 0 == 1 || true) && !(1 / 0 == 1 && false) && [0, 1].exists(x, 1 / x == 1)",
    "duration('1h').getMinutes() == 60 && timestamp('2026-01-01T00:00:00Z').getDayOfWeek() == 4",
    "timestamp('2026-01-01T00:00:00Z').getHours('+02:00') == 2",
    "timestamp('2026-01-01T00:00:00Z') + duration('24h') == timestamp('2026-01-02T00:00:00Z')",
    "string(1.5) == '1.5' && string(duration('90s')) == '90s' && int('-7') == -7",
    "b'\\xff'.size() == 1 && r'\\d' == '\\\\d' && '\\u00e9'.size() == 1",
    "!isSemver('1.0') && semver('1.2.3').minor() == 2",
]


@pytest.mark.parametrize("rule", TRUE)
def test_holds(rule: str) -> None:
    schema = Schema({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    assert schema.admit({}) == ([], [])


@pytest.mark.parametrize("rule", ["url('..').getHost() == ''", "quantity('x').sign() == 1"])
def test_what_is_no_value_of_its_type_fails_the_rule(rule: str) -> None:
    schema = Schema({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    assert "evaluating rule: " in schema.admit({})[1][0].message


FAULTS = [
    ("self.gone == 1", "no such key: gone evaluating rule: self.gone == 1"),
    ("[1][1] == 1", "index out of bounds: 1 evaluating"),
    ("1 / int('0') == 1", "division by zero evaluating"),
    ("9223372036854775807 + int('1') > 0", "integer overflow evaluating"),
    ("dyn('a') > 1", "'no such overload': call arguments did not match"),
    ("optional.none().value() == 1", "optional.none() dereference evaluating"),
    ("[].exists_one(x, x / 0 == 1) || 'x'.matches('(')", "error parsing regexp"),
]


@pytest.mark.parametrize(("rule", "why"), FAULTS)
def test_rules_without_an_answer_say_why(rule: str, why: str) -> None:
    schema = Schema({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    assert why in schema.admit({})[1][0].message


def test_a_rule_that_runs_too_long_is_broken_off() -> None:
    program = Program(parse("self.all(x, self.all(y, x + y >= 0))"), limit=10_000)

    assert program.run({"self": list(range(30))}).value is True
    with pytest.raises(TooExpensive):
        program.run({"self": list(range(100))})


def test_all_rules_of_an_object_share_a_budget_and_none_is_run_after_it() -> None:
    rules = [{"rule": "self.all(x, self.all(y, x + y >= 0))"}, {"rule": "false"}]
    items = {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules[:1]}
    schema = {"type": "array", "items": items, "x-kubernetes-validations": rules[1:]}
    holder = rules_of({"type": "object", "properties": {"n": schema, "m": schema["items"]}})
    value = {"n": [list(range(20))] * 3, "m": list(range(20))}

    assert len(list(holder.check(value))) == 1
    _, cause = holder.check(value, budget=5_000)

    assert cause.field == "n[1]"
    assert "running out of cost budget, no further validation rules will be run" in cause.message


def test_a_rule_that_came_later_leaves_alone_what_did_not_change() -> None:
    schema = Schema({
        "type": "object",
        "properties": {
            "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 5"}]},
            "b": {"type": "integer"},
        },
    })  # fmt: skip

    assert schema.admit({"a": 1, "b": 2}, {"a": 1})[1] == []
    assert len(schema.admit({"a": 2}, {"a": 1})[1]) == 1


def test_items_of_a_keyed_list_have_a_past() -> None:
    item = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "shrinks"}],
    }
    schema = Schema({
        "type": "object",
        "properties": {
            "l": {"type": "array", "items": item, "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["name"]},
        },
    })  # fmt: skip
    old = {"l": [{"name": "a", "n": 5}, {"name": "b", "n": 1}]}

    assert schema.admit({"l": [{"name": "c", "n": 0}, {"name": "a", "n": 6}]}, old)[1] == []
    (cause,) = schema.admit({"l": [{"name": "b", "n": 2}, {"name": "a", "n": 4}]}, old)[1]
    assert (cause.field, cause.message) == ("l[1]", "shrinks")


def test_formats_are_types_for_rules() -> None:
    schema = Schema({
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "data": {"type": "string", "format": "byte"},
            "times": {"type": "array", "items": {"type": "string", "format": "duration"}},
        },
        "x-kubernetes-validations": [
            {"rule": "self.at.getFullYear() == 2026 && self.data == b'hi'", "message": "no"},
            {"rule": "self.times.all(t, t > duration('1m'))", "message": "too short"},
        ],
    })  # fmt: skip

    good = {"at": "2026-01-01T00:00:00Z", "data": "aGk=", "times": ["1h30m"]}
    assert schema.admit(good) == ([], [])
    assert [c.message for c in schema.admit({**good, "times": ["5s"]})[1]] == ["too short"]
