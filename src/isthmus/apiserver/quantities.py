"""Quantities as Kubernetes writes them: `1k`, `500m`, `2Gi`, `1e3`.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))((?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?)", re.ASCII
)
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_POWERS = {suffix: power for power, suffix in _DECIMAL.items()}
_KIBI = 1024
_MOST_DIGITS = 40
_MOST, _LEAST = Decimal(2**63 - 1), Decimal("1e-9")
SHAPE = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


def number_of(text: str) -> Decimal | None:
    """What a quantity says; None if it is none.

    As in Kubernetes there is no larger one than 2**63-1, and none between zero and a nano.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2]
    if suffix in _BINARY:
        number *= _KIBI ** _BINARY.index(suffix)
        power = 0
    else:
        power = _POWERS[suffix] if suffix in _POWERS else int(suffix[1:][:9])
    size = number.adjusted() + power
    if not number or abs(size) > _MOST_DIGITS:  # it is never reckoned with so many digits
        found = Decimal() if not number else _MOST if size > 0 else _LEAST
    else:
        found = min(_MOST, max(_LEAST, abs(number.scaleb(power))))
    return found.copy_sign(number)


def canonical(text: str) -> str:
    """The one way to write a quantity: a whole number with the largest suffix that fits.

    Args:
        text: A quantity, else it stays as it is.
    """
    number = number_of(text)
    if number is None:
        return text
    suffix = text.lstrip("+-.0123456789")
    if suffix.endswith("i") and abs(number) >= _KIBI and number == int(number):
        return _with_binary(int(number))
    return _with_decimal(number, exponent=suffix not in _POWERS and not suffix.endswith("i"))


def _with_binary(number: int) -> str:
    power = 0
    while number % _KIBI == 0 and power < len(_BINARY) - 1:
        number, power = number // _KIBI, power + 1
    return f"{number}{_BINARY[power]}"


def _with_decimal(number: Decimal, *, exponent: bool) -> str:
    if not number:
        return "0"
    power = min(
        _POWERS["E"], max(_POWERS["n"], int(number.normalize().as_tuple().exponent) // 3 * 3)
    )
    amount = format(number.scaleb(-power).to_integral_value(), "f")
    if exponent:
        return amount + (f"e{power}" if power else "")
    return amount + _DECIMAL[power]
