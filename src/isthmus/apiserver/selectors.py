"""Label and field selectors.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson

from isthmus.apiserver.errors import ApiError, bad_request
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonpath import first
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.resources import Resource

_REQUIREMENT = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<name1>[^\s!=,()<>]+)
      | (?P<name2>[^\s!=,()<>]+)\s*(?P<equality>==|=|!=)\s*(?P<value>[^\s,()=!<>]*)
      | (?P<name3>[^\s!=,()<>]+)\s+(?P<membership>in|notin)\s*\((?P<values>[^()]*)\)
      | (?P<name5>[^\s!=,()<>]+)\s*(?P<order>[<>])\s*(?P<bound>[^\s,()=!<>]*)
      | (?P<name4>[^\s!=,()<>]+)
    )\s*""",
    re.VERBOSE,
)
_FIELD = re.compile(r"(?P<field>[^=!]+)(?P<operator>==|=|!=)(?P<value>.*)", re.DOTALL)
_LONGEST = 16 * 1024
_MOST_REQUIREMENTS = 256
"""Each is tried on every object of a list."""

LabelTest = Callable[[Mapping[str, str]], bool]


def parse_labels(text: str) -> LabelTest:
    """A test of labels.

    Raises:
        ApiError: 400, the selector cannot be read.
    """
    if len(text) > _LONGEST:
        raise bad_request(f"a selector has at most {_LONGEST} characters")
    parts = _split(text)
    if len(parts) > _MOST_REQUIREMENTS:
        raise _too_many()
    tests = [_requirement(part) for part in parts]
    return tests[0] if len(tests) == 1 else lambda labels: all(test(labels) for test in tests)


def _too_many() -> ApiError:
    return bad_request(f"a selector has at most {_MOST_REQUIREMENTS} requirements")


def _split(text: str) -> list[str]:
    """The requirements of a selector: what is between commas that no parenthesis encloses."""
    parts, end, enclosed = list[str](), len(text), False
    for place in range(len(text) - 1, -1, -1):
        if text[place] in "()":
            enclosed = text[place] == ")"
        elif text[place] == "," and not enclosed:
            parts.append(text[place + 1 : end])
            end = place
    return [text[:end], *reversed(parts)]


def _requirement(text: str) -> LabelTest:
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise bad_request(f"unable to parse requirement: {text!r}")
    name = match["name1"] or match["name2"] or match["name3"] or match["name4"]
    if match["equality"]:
        return _member(name, (match["value"],), negative=match["equality"] == "!=")
    if match["membership"]:
        values = (value.strip() for value in match["values"].split(","))
        return _member(name, values, negative=match["membership"] == "notin")
    if match["order"]:
        return _beyond(match["name5"], match["order"], match["bound"])
    return _present(name, wanted=not match["absent"])


def _beyond(name: str, order: str, bound: str) -> LabelTest:
    """Whether a label is a whole number above or below another."""
    limit = _whole(bound)
    if limit is None:
        raise bad_request(
            f"unable to parse requirement: values[0]: Invalid value: \"{bound}\": for 'Gt', 'Lt'"
            " operators, the value must be an integer"
        )

    def test(labels: Mapping[str, str]) -> bool:
        value = _whole(labels.get(name, ""))
        return value is not None and (value > limit if order == ">" else value < limit)

    return test


def _whole(text: str) -> int | None:
    """A whole number of 64 bits as a label may have it, without a sign; None: it is none."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    return value if value is not None and value < 2**63 else None


def test_of(selector: Json) -> LabelTest:
    """A test of labels from a LabelSelector as objects hold it; an empty one fits everything."""
    tests = [_member(name, (value,)) for name, value in as_map(selector.get("matchLabels")).items()]
    for wanted in as_list(selector.get("matchExpressions")):
        name, values = str(wanted.get("key")), as_list(wanted.get("values"))
        operator = wanted.get("operator")
        if operator in ("Exists", "DoesNotExist"):
            tests.append(_present(name, wanted=operator == "Exists"))
        else:
            tests.append(_member(name, values, negative=operator == "NotIn"))
    return lambda labels: all(test(labels) for test in tests)


def _present(name: str, *, wanted: bool) -> LabelTest:
    return lambda labels: (name in labels) == wanted


def _member(name: str, values: Iterable[str], *, negative: bool = False) -> LabelTest:
    known = frozenset(values)
    return lambda labels: (labels.get(name) in known) != negative


@dataclass(frozen=True, slots=True)
class _FieldRequirement:
    field: str
    places: tuple[str, ...]
    value: str
    negative: bool

    def found(self, obj: Json) -> object:
        """The field's value; where it may lie in several places, the first that says something."""
        found: object = None
        for place in self.places:
            found = first(obj, "." + place)
            if found:
                break
        return found

    def holds(self, found: object) -> bool:
        text = "" if found is None else found if isinstance(found, str) else _plain(found)
        return (text == self.value) != self.negative


def _plain(value: object) -> str:
    return orjson.dumps(value).decode()


class Selection:
    """Which objects of a resource a list or watch is about.

    Args:
        labels: Test of labels, or None for all.
        fields: What fields must be.
    """

    def __init__(self, labels: LabelTest | None, fields: list[_FieldRequirement]) -> None:
        self._labels = labels
        self._keyed = [f for f in fields if f.field in ("metadata.name", "metadata.namespace")]
        self._fields = [f for f in fields if f not in self._keyed]
        self.everything = labels is None and not fields
        """Whether every object is selected."""
        self.lasting = labels is None and bool(fields) and not self._fields
        """Whether an object that is selected once is so as long as it lives."""

    @property
    def name(self) -> str | None:
        """The only name that can fit, when the selector says it."""
        for requirement in self._keyed:
            if requirement.field == "metadata.name" and not requirement.negative:
                return requirement.value
        return None

    def fits(self, record: Record) -> bool:
        """Whether the object is selected; the body is parsed only for fields that need it."""
        if self._labels is not None and not self._labels(record.labels):
            return False
        for requirement in self._keyed:
            if not requirement.holds(record.key[requirement.field == "metadata.name"]):
                return False
        if self._fields:
            obj = orjson.loads(record.body)
            return all(field.holds(field.found(obj)) for field in self._fields)
        return True


def only_name(fields: str) -> str:
    """The one name to which a field selector limits a request, or the empty string."""
    for part in fields.split(","):
        if part.startswith("metadata.name="):
            return part.removeprefix("metadata.name=").removeprefix("=")
    return ""


def parse(resource: Resource, labels: str, fields: str) -> Selection:
    """The selection that the query parameters describe.

    Raises:
        ApiError: 400, a selector cannot be read or names a field that is not selectable.
    """
    requirements: list[_FieldRequirement] = []
    if fields.count(",") >= _MOST_REQUIREMENTS:
        raise _too_many()
    for part in filter(None, fields.split(",")):  # an empty part says nothing, as in Kubernetes
        match = _FIELD.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid selector: '{fields}'; can't understand '{part}'")
        field = match["field"].strip()
        if (
            field not in ("metadata.name", "metadata.namespace")
            and field not in resource.selectable
        ):
            raise bad_request(f"field label not supported: {field}")
        places = (field,) if resource.shape is None else resource.shape.places(field)
        negative = match["operator"] == "!="
        requirements.append(_FieldRequirement(field, places, match["value"], negative))
    return Selection(parse_labels(labels) if labels else None, requirements)
