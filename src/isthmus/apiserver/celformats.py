"""Named formats of strings, for rules: `format.dns1123Label().validate(self)`.

A format answers with nothing for a string that has it, else with sentences.

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-format-library
"""

import base64
import re
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from isthmus.apiserver.celoperators import NONE, Optional
from isthmus.apiserver.celvalues import moment

_Sentences = list[str]
_LABEL, _SUBDOMAIN, _NAME = 63, 253, 63
_IS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_IS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_IS_SUBDOMAIN = re.compile(rf"{_IS_LABEL.pattern}(\.{_IS_LABEL.pattern})*", re.ASCII)
_IS_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_IS_UUID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)
_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_1035_SAYS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123',"
    " regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character (e.g. 'example.com', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NAME_SAYS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_SAYS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or"
    " '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _pattern(
    pattern: re.Pattern[str], most: int, says: str, *, prefix: bool = False
) -> Callable[[str], _Sentences]:
    """A length and an expression; a prefix may end with the hyphen that joins it to the rest."""

    def check(text: str) -> _Sentences:
        whole = text[:-1] + "a" if prefix and text.endswith("-") else text
        sentences = [f"must be no more than {most} characters"] if len(whole) > most else []
        return sentences if pattern.fullmatch(whole) else [*sentences, says]

    return check


_subdomain = _pattern(_IS_SUBDOMAIN, _SUBDOMAIN, _SUBDOMAIN_SAYS)
_name = _pattern(_IS_NAME, _NAME, _NAME_SAYS)


def _qualified(text: str) -> _Sentences:
    """A name, or a subdomain and a name."""
    domain, slash, name = text.rpartition("/")
    if "/" in domain:
        return [
            f"a valid label key {_NAME_SAYS} with an optional DNS subdomain prefix and '/' (e.g."
            " 'example.com/MyName')"
        ]
    sentences: _Sentences = []
    if slash:
        found = _subdomain(domain) if domain else ["must be non-empty"]
        sentences = [f"prefix part {sentence}" for sentence in found]
    if not name:
        sentences.append("name part must be non-empty")
        return sentences if slash else [*sentences, f"name part {_NAME_SAYS}"]
    return [*sentences, *(f"name part {sentence}" for sentence in _name(name))]


def _value(text: str) -> _Sentences:
    return _pattern(_IS_NAME, _NAME, _VALUE_SAYS)(text) if text else []


def _decides(check: Callable[[str], Any], says: str) -> Callable[[str], _Sentences]:
    def answer(text: str) -> _Sentences:
        try:
            return [] if check(text) is not False else [says]
        except ValueError:
            return [says]

    return answer


def _uri(text: str) -> _Sentences:
    if not text:
        return ['parse "": empty url']
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return [f'parse "{text}": invalid URI for request']
    spaced = any(letter.isspace() for letter in text)
    if spaced or not (text.startswith("/") or (parts.scheme and (parts.netloc or parts.path))):
        return [f'parse "{text}": invalid URI for request']
    return []


_FORMATS: dict[str, Callable[[str], _Sentences]] = {
    "dns1123Label": _pattern(_IS_LABEL, _LABEL, _LABEL_SAYS),
    "dns1123Subdomain": _subdomain,
    "dns1035Label": _pattern(_IS_1035, _LABEL, _1035_SAYS),
    "qualifiedName": _qualified,
    "dns1123LabelPrefix": _pattern(_IS_LABEL, _LABEL, _LABEL_SAYS, prefix=True),
    "dns1123SubdomainPrefix": _pattern(_IS_SUBDOMAIN, _SUBDOMAIN, _SUBDOMAIN_SAYS, prefix=True),
    "dns1035LabelPrefix": _pattern(_IS_1035, _LABEL, _1035_SAYS, prefix=True),
    "labelValue": _value,
    "uri": _uri,
    "uuid": _decides(
        lambda text: _IS_UUID.fullmatch(text) is not None, "does not match the UUID format"
    ),
    "byte": _decides(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
    "date": _decides(date.fromisoformat, "invalid date"),
    "datetime": _decides(moment, "invalid datetime"),
}


def _validate(value: dict[str, Any], text: str) -> Optional:
    sentences = _FORMATS[value["format"]](_text(text))
    return Optional(sentences, there=True) if sentences else NONE


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("no string")


def _named(name: str) -> Optional:
    return Optional({"format": name}, there=True) if name in _FORMATS else NONE


def _constant(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: {"format": name}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "validate": _validate,
    "format.named": _named,
    **{f"format.{name}": _constant(name) for name in _FORMATS},
}
"""By the name in a rule; a method's receiver is its first argument."""
