"""The formats that a schema's strings and numbers may have; others are ignored, as in Kubernetes.

What a format accepts is what Go's parsers accept, which is not always what its name suggests: an
`ipv4` may have leading zeros, a `duration` is Go's or Scala's.

Source: https://github.com/kubernetes/kube-openapi/tree/master/pkg/validation/strfmt
"""

import base64
import calendar
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from isthmus.apiserver.jsonvalues import Json

_INT32, _INT64, _FLOAT32 = 2**31, 2**63, 3.4028235677973366e38
"""The last one is half a step beyond the largest float32, where rounding goes up."""
_BOUNDS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("integer", "int32"): (-_INT32, _INT32 - 1),
    ("integer", ""): (-_INT64, _INT64 - 1),
    ("number", "float"): (-_FLOAT32, _FLOAT32),
}
_HOSTNAME = re.compile(
    "[a0](-?[a0]{0,62})?|([a0]([a0-]{0,61}[a0])?\\.)+a{2,63}"
)  # a for every letter, 0 for every digit and symbol
# Callers choose these texts: nowhere must there be two ways to match a part of one.
_LETTERS = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-"
_ATOM = rf"[{_LETTERS}]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f]|\\.)*"'
_WORD = rf"(?:{_ATOM}|{_QUOTED})"
_PHRASE = rf"(?:(?:[{_LETTERS}]|{_QUOTED})(?:[ \t.{_LETTERS}]|{_QUOTED})*)?"
_ADDRESS = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_WORD})@(?:{_ATOM}(?:\.{_ATOM})*|\[[0-9A-Fa-f.:]+\])"
_EMAIL = re.compile(rf"\s*(?:{_ADDRESS}|{_PHRASE}<{_ADDRESS}>)\s*")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(.\d+)?(z|[+-]\d\d:\d\d)", re.ASCII)
_GO_DURATION = re.compile(r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_SCALA_DURATION = re.compile(r"(?<!\d)(\d++)\s*+([A-Za-zµ]+)", re.ASCII)
_UNITS = (
    frozenset(("ns", "us", "µs", "ms", "s", "sec", "m", "h", "hr", "d", "w", "wk")),
    ("nano", "micro", "milli", "sec", "min", "hour", "day", "week"),
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9._:~!$&'()*+,;=%@-]*@)?"
    r"(?:\[[^\]\s]*\]|(?:[A-Za-z0-9_.~!$&'()*+,;=<>\"\x80-\U0010ffff-]|%(?:25|[89A-Fa-f][0-9A-Fa-f]))*)(?::\d*)?",
    re.ASCII,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAC = re.compile(
    r"[0-9a-f]{2}((:[0-9a-f]{2})+|(-[0-9a-f]{2})+)|[0-9a-f]{4}(\.[0-9a-f]{4})+|[0-9a-f]+",
    re.IGNORECASE | re.ASCII,
)
_CREDIT_CARD = (
    r"4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35\d{3})\d{11}"
)
_OCTET = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_SHORT_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def bounds(kind: str, named: str) -> tuple[Any, Any] | None:
    """The least and the greatest number of a type and format; None where any number will do."""
    return _BOUNDS.get((kind, named)) or _BOUNDS.get((kind, ""))


def known(raw: Json) -> str:
    """The name under which `CUSTOM` has the format of a schema's strings; empty: there is none."""
    name = str(raw.get("format", "")).replace("-", "")
    return name if name in CUSTOM and raw.get("type", "string") == "string" else ""


def is_checked(raw: Json) -> bool:
    """Whether the format of a schema is one that its type can have."""
    numbers = {"integer": ("int32", "int64"), "number": ("float", "double")}
    return bool(known(raw)) or raw.get("format") in numbers.get(str(raw.get("type")), ())


def _fits(expression: str, flags: int = 0, most: int = 2**63) -> Callable[[str], bool]:
    compiled = re.compile(expression, re.ASCII | flags)
    return lambda text: len(text) <= most and compiled.fullmatch(text) is not None


def _uuid(third: str, fourth: str) -> Callable[[str], bool]:
    parts = ("[0-9a-f]{8}", "[0-9a-f]{4}", third, fourth, "[0-9a-f]{12}")
    return _fits("-?".join(parts), re.IGNORECASE)


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return parse(text) is not False
        except ValueError:
            return False

    return check


def _without_zeros(text: str) -> str:
    """Addresses as Go once read them: with zeros before decimal numbers."""
    head, dot, tail = text.rpartition(":") if "." in text else ("", "", text)
    return head + dot + re.sub(r"(?<![0-9])0+(?=[0-9])", "", tail) if "." in tail else text


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if "%" in text:
        raise ValueError(text)
    return ipaddress.ip_address(text)


def _ipv4(text: str) -> Any:
    return "." in text and _ip(_without_zeros(text))


def _ipv6(text: str) -> Any:
    return ":" in text and _ip(text)


def _cidr(text: str) -> Any:
    address, slash, size = text.partition("/")
    if not slash or not size.isascii() or not size.isdecimal():
        return False
    return int(size) <= _ip(_without_zeros(address)).max_prefixlen


def _is_mac(text: str) -> bool:
    digits = sum(letter not in ":-." for letter in text)
    return digits in (12, 16, 40) and _MAC.fullmatch(text) is not None


def _is_hostname(text: str) -> bool:
    if len(text.encode()) > 255 or any(len(part.encode()) > 63 for part in text.split(".")):
        return False
    return _HOSTNAME.fullmatch("".join(map(_sort_of, text))) is not None


def _sort_of(letter: str) -> str:
    """`a` for a letter and `0` for a digit or a symbol, of any script where hostnames have them."""
    if letter.isascii():
        return "a" if letter.isalpha() else "0" if letter.isdigit() else letter
    return {"L": "a", "S": "0"}.get(unicodedata.category(letter)[0], letter)


def _is_uri(text: str) -> bool:
    """An absolute URI or an absolute path."""
    if not text or any(letter < " " or letter == "\x7f" for letter in text):
        return False
    match = _SCHEME.fullmatch(text)
    scheme, rest = match.groups() if match else ("", text)
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return bool(scheme) or text == "*"
    if scheme and rest.startswith("//"):
        authority, _, rest = rest[2:].partition("/")
        if _AUTHORITY.fullmatch(authority) is None:
            return False
    return _BAD_ESCAPE.search(rest) is None


def _is_date(text: str) -> bool:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
        return False
    year, month, day = map(int, text.split("-"))
    return 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 4, month)[1]


def _is_datetime(text: str) -> bool:
    day, _, rest = text.lower().partition("t")
    match = _TIME.fullmatch(rest.partition("t")[0])
    if match is None or not _is_date(day):
        return False
    return match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def _is_duration(text: str) -> bool:
    if _GO_DURATION.fullmatch(text):
        return True
    found = _SCALA_DURATION.findall(text)
    if any(len(number) > 18 and int(number[-100:]) >= _INT64 for number, _ in found):
        return False
    exact, beginnings = _UNITS
    units = [unit.lower() for _, unit in found]
    return any(unit in exact or unit.startswith(beginnings) for unit in units)


def _is_credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if re.fullmatch(_CREDIT_CARD, digits, re.ASCII) is None:
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if re.fullmatch("[0-9]{9}[0-9X]", digits) is None:
        return False
    numbers = [10 if digit == "X" else int(digit) for digit in digits]
    return sum(place * number for place, number in enumerate(numbers, 1)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if re.fullmatch("[0-9]{13}", digits) is None:
        return False
    return sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits)) % 10 == 0


CUSTOM: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _fits("[0-9a-fA-F]{24}"),
    "uri": _is_uri,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": _is_hostname,
    "ipv4": _parses(_ipv4),
    "ipv6": _parses(_ipv6),
    "cidr": _parses(_cidr),
    "mac": _is_mac,
    "uuid": _uuid("[0-9a-f]{4}", "[0-9a-f]{4}"),
    "uuid3": _uuid("3[0-9a-f]{3}", "[0-9a-f]{4}"),
    "uuid4": _uuid("4[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
    "uuid5": _uuid("5[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_credit_card,
    "ssn": lambda text: re.fullmatch(r"\d{3}[- ]\d{2}[- ]\d{4}", text, re.ASCII) is not None,
    "hexcolor": _fits("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _fits(rf"rgb\({_OCTET},{_OCTET},{_OCTET}\)"),
    "byte": _fits("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "password": lambda _: True,
    "date": _is_date,
    "duration": _is_duration,
    "datetime": _is_datetime,
    "k8sshortname": _fits(_SHORT_NAME, most=63),
    "k8slongname": _fits(rf"{_SHORT_NAME}(\.{_SHORT_NAME})*", most=253),
}
"""For custom kinds, by name without hyphens."""
BUILT_IN = {
    **CUSTOM,
    "byte": _parses(lambda text: base64.b64decode(re.sub("[\r\n]", "", text), validate=True)),
}
"""For built-in kinds, whose bytes may be none, and broken into lines."""
