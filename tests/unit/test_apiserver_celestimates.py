"""What a rule may cost by estimate, and when a definition is refused for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.celchecker import checked
from isthmus.apiserver.celestimates import estimate
from isthmus.apiserver.celprogram import Program, parse
from isthmus.apiserver.celsizes import MOST
from isthmus.apiserver.celtypes import BOOL, STRING, Type, optional, type_of
from isthmus.apiserver.crdchecks import check
from isthmus.apiserver.rulechecks import check_rules
from tests.apiserver_client import widget_definition
from tests.fuzzing import examples

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}


def array(items: Json, most: int | None = None) -> Json:
    return {"type": "array", "items": items, **({} if most is None else {"maxItems": most})}


def table(values: Json, most: int | None = None) -> Json:
    bound = {} if most is None else {"maxProperties": most}
    return {"type": "object", "additionalProperties": values, **bound}


def struct(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


def cost(schema: Json, rule: str, wanted: Type = BOOL, *, whole: bool = False) -> int:
    found = type_of(schema, root=whole)
    assert found is not None
    before = optional(found) if "oldSelf.hasValue" in rule else found
    what = checked(rule, {"self": found, "oldSelf": before}, wanted)
    assert what.fault == ""
    return estimate(what, found)


SIZES = [
    (array(NUMBER), 4718591),
    (array(TEXT), 3145727),
    (array({"type": "boolean"}), 1887437),
    (array({"type": "string", "format": "date-time"}), 428963),
    (array({"type": "string", "format": "date"}), 725936),
    (array({"type": "string", "format": "duration"}), 2359295),
    (array({"x-kubernetes-int-or-string": True}), 4718591),
    (array(array(NUMBER)), 3145727),
    (array({**struct(a=TEXT, b=TEXT), "required": ["a"]}), 3 * (3145726 // 10) + 2),
    (array({**struct(a={**TEXT, "default": ""}), "required": ["a"]}), 3145727),
    (array(NUMBER, 10), 32),
    (array(NUMBER, 0), 2),
    (table(NUMBER), 1348169),
    (table(TEXT), 1179647),
    (table(table(NUMBER)), 1179647),
    (table(NUMBER, 10), 32),
]
"""What a loop without work costs: three for each element, and two."""


@pytest.mark.parametrize(("schema", "wanted"), SIZES)
def test_sizes_of_lists_and_maps(schema: Json, wanted: int) -> None:
    assert cost(schema, "self.all(x, true)") == wanted


LETTERS = [
    (TEXT, 314574),
    ({**TEXT, "maxLength": 10}, 5),
    ({**TEXT, "enum": ["a", "abc"]}, 2),
    ({**TEXT, "enum": ["a"], "maxLength": 1000}, 401),
    ({"x-kubernetes-int-or-string": True, "maxLength": 10}, 5),
]


@pytest.mark.parametrize(("schema", "wanted"), LETTERS)
def test_sizes_of_texts(schema: Json, wanted: int) -> None:
    assert cost(schema, "self.contains('a')") == wanted


LONG = {**TEXT, "maxLength": 100}
SCHEMA = struct(
    n=NUMBER,
    share={"type": "number"},
    at={"type": "string", "format": "date-time"},
    text=LONG,
    bytes={"type": "string", "format": "byte", "maxLength": 100},
    any={"x-kubernetes-int-or-string": True, "maxLength": 100},
    list=array(LONG, 10),
    numbers=array(NUMBER, 10),
    nested=array(array(LONG, 10), 10),
    map=table(LONG, 10),
    objects=array(struct(name=LONG, inner=array(LONG, 5), other=TEXT), 10),
)
COSTS = [
    ("true", 0),
    ("has(self.text)", 1),
    ("self.n == 1 && self.n > 1 || self.share < 0.5", 2 + 3 + 3),
    ("self.text == 'ab' || self.text < 'ab'", 3 + 3),
    ("self.bytes == b'ab' && bytes(self.text) == self.bytes", 3 + 2 + 40 + 2 + 10),
    ("self.text + 'abc' != self.text", 2 + 41 + 2 + 40),
    ("self.text.startsWith('abc') && self.text.matches('[a-z]')", 3 + 2 + 41 * 2),
    ("matches(self.text, '[a-z]')", 3),
    ("self.text.find('a') == '' && self.text.split(',').size() == 1", 43 + 84),
    ("self.text.replace('a', 'bb') + '' == self.text", 2 + 80 + 80 + 2 + 40),
    ("self.any == 1 || self.any == 'a' || self.any > self.any", 3 + 3 + 44),
    ("self.at > timestamp('2026-01-01T00:00:00Z') && self.at - self.at == duration('1h')", 4 + 7),
    ("type(self.any) == string", 4),
    ("'a' in self.list && 'a' in self.map", 2 + 10 + 3),
    ("self.list[0].contains('ab') && self.map['a'].contains('ab')", 43 + 43),
    ("self.list.exists(x, x == 'ab') && self.list.exists_one(x, x == 'ab')", 63 + 44),
    ("self.list.map(x, x + 'a').size() == 3", 2 + 11 + 10 * 54 + 1 + 1),
    ("self.list.filter(x, x == 'ab').size() == 3", 2 + 11 + 10 * 15 + 2),
    ("self.list.all(i, x, i < 3 && x == 'a') && self.map.all(k, v, v == 'a')", 73 + 53),
    ("self.map.all(k, self.map[k].contains('a'))", 3 + 10 * (3 + 44)),
    ("self.map.transformMap(k, v, v != '', k).size() == 1", 2 + 31 + 10 * 5 + 2),
    ("self.map.transformMapEntry(k, v, {v: k}).size() == 1", 2 + 31 + 10 * 34 + 2),
    ("self.nested.all(x, x.all(y, y == 'a'))", 3 + 10 * (3 + 2 + 10 * 5)),
    ("self.objects.all(o, o.inner.all(i, i == o.name))", 3 + 10 * (3 + 3 + 400 * (6 + 40))),
    ("self.numbers.isSorted() && self.list.isSorted()", 12 + 2 + 10 * 41),
    ("self.numbers.sum() == self.numbers.max() && self.list.join('-') == ''", 24 + 1 + 2 + 401),
    ("self.numbers.distinct().size() == 1 && self.list.sort().size() == 1", 215 + 225),
    ("self.list.sortBy(x, x.size()).size() == 3", 10 + 2 + 1 + 12 + 10 * 14 + 211 + 2),
    ("sets.contains(self.list, ['a']) && sets.equivalent(self.list, self.list)", 23 + 205),
    ("self.numbers.slice(1, 3).size() == 2 && self.nested.flatten().size() == 1", 17 + 25),
    ("self.numbers.reverse() + [1] == self.numbers", 2 + 21 + 11 + 2 + 1),
    ("lists.range(5).all(x, x > 1)", 16 + 1 + 5 * 5),
    ("quantity(self.text) == quantity('1') && ip(self.text) == ip('::1')", 42 + 2 + 42 + 2),
    ("cidr('10.0.0.0/8').containsIP(self.text) && cidr('::/0').containsCIDR('::/8')", 47 + 9),
    ("format.uri().validate(self.text).hasValue() && isURL(self.text)", 1 + 2 + 1280 + 1 + 3),
    ("self.?n.orValue(1) == 1 && self.?text.optMap(t, t == 'a').orValue(true)", 4 + 20),
    ("[1, 2].exists(x, x == 1) && {'a': 1}.a == 1", 11 + 2 * 5 + 31),
    ("(self.n > 1 ? self.text : 'a').contains('ab') && dyn(self.n) == 1", 3 + 2 + 40 + 3),
    ("oldSelf.list.all(x, x in self.list)", 3 + 10 * (3 + 3 + 10)),
    ("string(self.n) == 'a' && '%s'.format([self.n]) == 'a'", 4 + 2 + 10 + 1 + 1),
]


@pytest.mark.parametrize(("rule", "wanted"), COSTS)
def test_costs(rule: str, wanted: int) -> None:
    assert cost(SCHEMA, rule) == wanted


def test_sizes_that_nothing_bounds() -> None:
    assert cost(SCHEMA, "self.?list.orValue([]).all(x, x == 'a')") == MOST
    assert cost(SCHEMA, "string(self.n) + 'a'", STRING) > MOST // 11
    assert cost(SCHEMA, "!oldSelf.hasValue() || oldSelf.value().n == self.n") < 10


def test_names_that_a_whole_object_always_has_may_be_bounded_by_its_schema() -> None:
    rule = "self.metadata.name.contains('a')"
    bounded = struct(name={**TEXT, "maxLength": 63}, generateName=TEXT)

    assert cost(struct(), rule, whole=True) == 3 + 314573
    assert cost(struct(metadata=struct(name=LONG)), rule, whole=True) == 3 + 314573
    known = struct(apiVersion=TEXT, kind=TEXT, metadata=bounded)
    assert cost(known, rule, whole=True) == 3 + 26


# --- definitions ----------------------------------------------------------------------------------


ADVICE = (
    " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays,"
    " maps, and strings are declared)"
)


def ruled(schema: Json, *rules: str, message: str = "") -> Json:
    more = {"messageExpression": message} if message else {}
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more} for rule in rules]}


def told(schema: Json) -> list[tuple[str, str]]:
    causes = check_rules(schema, "here")
    assert {cause.reason for cause in causes} <= {"FieldValueForbidden"}
    places = [cause.field.replace(".x-kubernetes-validations", "") for cause in causes]
    return [
        (place, cause.message.replace(ADVICE, ""))
        for place, cause in zip(places, causes, strict=True)
    ]


CONTAINS = "self.contains('a')"
EXCEEDS = "exceeds budget by factor of"
LIMITS = [
    (struct(a=ruled(array(TEXT, 31), "self.all(x, x.contains('a'))")), "", ""),
    (struct(a=ruled(array(TEXT, 32), "self.all(x, x.contains('a'))")),
     ".properties[a][0].rule", "estimated rule cost exceeds budget by factor of 1.006647x"),
    (struct(a=array(ruled(TEXT, CONTAINS), 31)), "", ""),
    (struct(a=array(ruled(TEXT, CONTAINS), 48)),
     ".properties[a].items[0].rule", "estimated rule cost exceeds budget by factor of 1.5x"),
    (struct(a=array(array(ruled(TEXT, CONTAINS), 10), 5)),
     ".properties[a].items.items[0].rule", "estimated rule cost exceeds budget by factor of 1.6x"),
    (struct(a=table(array(ruled(LONG, CONTAINS)), 10)),
     ".properties[a].additionalProperties.items[0].rule",
     "estimated rule cost exceeds budget by factor of 4.3x"),
    (struct(a=array(ruled(NUMBER, "self > 0 && self > 1"))), "", ""),
    (struct(a=array(array(ruled(NUMBER, "self > 0 && self > 1"), 5))), "", ""),
    (struct(a=ruled(TEXT, "self != ''", message="self + self.lowerAscii()")), "", ""),
    (struct(a=ruled(NUMBER, "self > 0", message="'x ' + string(self)")),
     ".properties[a][0].messageExpression",
     "estimated messageExpression cost exceeds budget by factor of more than 100x"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "place", "why"), LIMITS)
def test_a_rule_is_counted_as_often_as_its_value_may_be_there(
    schema: Json, place: str, why: str
) -> None:
    found = [cause for cause in told(schema) if "total" not in cause[1]]

    assert found == ([(f"here{place}", why)] if why else [])


def test_all_rules_of_a_schema_have_a_limit_too() -> None:
    large = ruled(array(TEXT, 31), "self.all(x, x.contains('a'))")
    many = {f"p{n:02}": large for n in range(10)}

    assert told(struct(**many)) == []
    *named, whole = told(struct(**many, q=ruled(array(TEXT, 30), "self.all(x, x.contains('a'))"),
                                small=ruled(NUMBER, "self > 0")))  # fmt: skip

    why = (
        "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    )
    assert named == [(f"here.properties[p{n:02}][0].rule", why) for n in range(4)]
    name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    assert whole == ("here", f"{name} {EXCEEDS} 1.069562x")


def test_a_schema_that_was_there_before_keeps_its_rules_but_not_more_of_them() -> None:
    def definition(rule: str) -> Json:
        made = widget_definition()
        made["spec"]["names"] |= {"singular": "widget", "listKind": "WidgetList"}
        schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"]["long"] = ruled(array(TEXT), rule)
        return made

    once, twice = "self.all(x, x.startsWith('a'))", "self.all(x, self.all(y, x == y))"

    assert check(definition(once), None) == []
    assert len(check(definition(twice), definition(once))) == 3
    assert [cause.message[:11] for cause in check(definition(twice), definition(twice))] == [
        "contributed", "x-kubernete",
    ]  # fmt: skip


# --- laws -----------------------------------------------------------------------------------------


def schema_of(most: int, letters: int) -> Json:
    text = {**TEXT, "maxLength": letters}
    return struct(n=NUMBER, m=NUMBER, text=text, list=array(text, most),
                  numbers=array(NUMBER, most), map=table(text, most),
                  objects=array(struct(name=text, inner=array(text, most)), most))  # fmt: skip


LITERALS = st.sampled_from(("'a'", "'abc'", f"'{'b' * 40}'"))
PATTERNS = st.sampled_from(("'a'", "'[a-c]+'", "'^(a|b)*$'"))


SIMPLE = st.sampled_from((
    "{text} == {other}", "{text} < {other}", "{text} in self.list", "{text} in self.map",
    "{text}.contains({literal})", "{text}.startsWith({literal})", "{text}.matches({pattern})",
    "{text}.find({pattern}) == 'a'", "{text}.split('a').size() > 1", "{text}.indexOf('b') == 2",
    "size({text}) > self.n", "self.n == self.m", "self.n + 1 < self.m", "has(self.text)",
    "self.numbers.isSorted()", "self.numbers.sum() == self.n", "self.numbers == self.numbers",
    "self.list.filter(x, x == {text}).size() == 1", "self.numbers.distinct().size() == 1",
    "self.list.map(x, x + {literal}).size() == self.n", "sets.contains(self.list, [{text}])",
))  # fmt: skip
NESTED = st.sampled_from((
    "({rule} && {another})", "({rule} || self.n == 3)", "!({rule})",
    "(self.n > 1 ? {rule} : self.m > 1)", "self.list.all({name}, {inner})",
    "self.list.exists({name}, {inner})", "self.map.exists_one({name}, {inner})",
    "self.list.all(i, {name}, {inner})", "self.map.exists(k, {name}, {inner})",
    "self.objects.all(o, o.inner.exists({name}, {inner} || o.name == {name}))",
))  # fmt: skip
TEXTS = ("{}", "{}", "({} + 'ab')", "{}.lowerAscii()", "{}.trim()")


@st.composite
def rules(draw: st.DrawFn, names: tuple[str, ...] = (), depth: int = 2) -> str:
    """Rules about declared values, and about texts that are made of them."""
    rule = draw(NESTED if depth and draw(st.booleans()) else SIMPLE)
    name = f"x{depth}"
    text = st.builds(
        str.format, st.sampled_from(TEXTS), st.sampled_from(("self.text", *names)) | LITERALS
    )
    parts = {
        "text": text, "other": text, "literal": LITERALS, "pattern": PATTERNS,
        "rule": rules(names, depth - 1), "another": rules(names, depth - 1),
        "inner": rules((*names, name), depth - 1), "name": st.just(name),
    }  # fmt: skip
    return rule.format(**{part: draw(parts[part]) for part in parts if f"{{{part}}}" in rule})


@st.composite
def values(draw: st.DrawFn, most: int, letters: int) -> Json:
    text = st.text("abc", min_size=letters // 2, max_size=letters)
    some, number = st.lists(text, max_size=most), st.integers(0, 4)
    return {
        "n": draw(number), "m": draw(number), "text": draw(text), "list": draw(some),
        "numbers": draw(st.lists(number, max_size=most)),
        "map": draw(st.dictionaries(text, text, max_size=most)),
        "objects": draw(st.lists(st.fixed_dictionaries({"name": text, "inner": some}),
                                 max_size=most)),
    }  # fmt: skip


@pytest.mark.timeout(600)  # seconds on an idle machine; what it counts is no time
@examples(50)
@given(rules(), st.integers(0, 5), st.integers(1, 50), st.data())
def test_nothing_costs_more_than_twice_its_estimate(
    rule: str, most: int, letters: int, data: st.DataObject
) -> None:
    """Twice: a look whether a field is there, or at two numbers, is free in an estimate alone."""
    wanted = cost(schema_of(most, letters), rule)

    outcome = Program(parse(rule), limit=MOST).run({"self": data.draw(values(most, letters))})

    assert outcome.cost <= 2 * wanted


@examples(30)
@given(rules(), *[st.integers(0, 1000)] * 4)
def test_wider_bounds_never_cost_less(rule: str, most: int, letters: int, a: int, b: int) -> None:
    assert cost(schema_of(most, letters), rule) <= cost(schema_of(most + a, letters + b), rule)
