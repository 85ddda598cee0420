"""Quantities are written in one way, whatever the way they came in."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.quantities import canonical, number_of

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3", "e0")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1000", "1k"), ("1500", "1500"), ("1.0", "1"), ("0.5k", "500"), ("1e3", "1e3"),
        ("10e3", "10e3"), ("1024Ki", "1Mi"), ("2048", "2048"), ("512Ki", "512Ki"), ("0", "0"),
        ("0.5Ki", "512"), ("0.5", "500m"), ("-1", "-1"), ("+5", "5"), ("12000000", "12M"),
        ("many", "many"), ("1Zi", "1Zi"), ("", ""),
    ],
)  # fmt: skip
def test_a_quantity_has_one_form(text: str, written: str) -> None:
    assert canonical(text) == written


@given(st.integers(-(10**9), 10**9), st.integers(0, 6), st.sampled_from(SUFFIXES))
def test_the_form_says_the_same_number(digits: int, places: int, suffix: str) -> None:
    text = format(Decimal(digits).scaleb(-places), "f") + suffix
    number, again = number_of(text), canonical(text)

    assert number is not None
    if number % Decimal("0.000000001") == 0:
        assert number_of(again) == number
        assert canonical(again) == again


@given(st.text(max_size=60))
def test_any_text_has_a_form(text: str) -> None:
    assert isinstance(canonical(text), str)
