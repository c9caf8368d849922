"""Amounts as Medusa's Stripe provider rounds them (measured on Medusa 2.21.2)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.money import (
    covers,
    decimal_digits,
    from_minor_units,
    given_back,
    smallest_step,
    to_minor_units,
    unrounded,
)

ZERO = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"]
THREE = ["BHD", "IQD", "JOD", "KWD", "OMR", "TND"]
TWO = ["EUR", "USD", "GBP", "CHF", "ISK", "HUF", "TWD", "SEK", "XYZ"]

MEASURED = [
    ("29.7381", "eur", 2974),
    ("10.005", "eur", 1001),
    ("1.005", "eur", 101),
    ("0.005", "eur", 1),
    ("0.0049999", "eur", 0),
    ("8.165", "eur", 817),
    ("10.5", "isk", 1050),
    ("10.5", "huf", 1050),
    ("10.5", "twd", 1050),
    ("10.5", "ugx", 11),
    ("3500.5", "jpy", 3501),
    ("3500.49", "jpy", 3500),
    ("9.991", "kwd", 10000),
    ("1.234", "kwd", 1240),
    ("1.230", "kwd", 1230),
    ("1.2304", "kwd", 1230),
    ("1.2305", "kwd", 1240),
    ("5.1235", "kwd", 5130),
    ("12345678901.23", "usd", 1234567890123),
]


@pytest.mark.parametrize(("amount", "currency", "minor"), MEASURED)
def test_to_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor_units(Decimal(amount), currency) == minor


@pytest.mark.parametrize(("amount", "currency", "minor"), MEASURED)
def test_the_currency_in_any_case(amount: str, currency: str, minor: int) -> None:
    assert to_minor_units(Decimal(amount), currency.upper()) == minor


@pytest.mark.parametrize("currency", ["eur", "jpy", "kwd"])
def test_nothing_is_nothing(currency: str) -> None:
    result = to_minor_units(Decimal(0), currency)
    assert result == 0
    assert type(result) is int


@pytest.mark.parametrize(
    ("currency", "digits"),
    [(code, 0) for code in ZERO] + [(code, 3) for code in THREE] + [(code, 2) for code in TWO],
)
def test_decimal_digits(currency: str, digits: int) -> None:
    assert decimal_digits(currency) == digits
    assert decimal_digits(currency.lower()) == digits


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (2974, "eur", "29.74"),
        (1, "eur", "0.01"),
        (0, "eur", "0"),
        (3501, "jpy", "3501"),
        (11, "ugx", "11"),
        (1050, "isk", "10.50"),
        (5130, "kwd", "5.130"),
        (1234567890123, "usd", "12345678901.23"),
    ],
)
def test_from_minor_units(minor: int, currency: str, amount: str) -> None:
    assert from_minor_units(minor, currency) == Decimal(amount)


@pytest.mark.parametrize("currency", ["eur", "jpy", "kwd", "isk"])
@pytest.mark.parametrize("minor", [0, 10, 1230, 999_990])
def test_there_and_back(minor: int, currency: str) -> None:
    assert to_minor_units(from_minor_units(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("paid", "amount", "currency", "enough"),
    [
        ("10", "10", "eur", True),
        ("10.01", "10", "eur", True),
        ("9.99", "10", "eur", False),
        ("0", "10", "eur", False),
        ("0", "0", "eur", True),
        ("29.74", "29.7381", "eur", True),
        ("29.73", "29.7381", "eur", False),
        ("29.7381", "29.74", "eur", True),
        ("9.994", "9.995", "eur", False),
        ("9.995", "10.00", "eur", True),
        ("3501", "3500.5", "jpy", True),
        ("3500", "3500.5", "jpy", False),
        ("3500", "3500.49", "jpy", True),
        ("1.234", "1.2344", "kwd", True),
        ("1.234", "1.2345", "kwd", False),
        ("10.4", "10.5", "isk", False),
        ("10.5", "11", "ugx", True),
    ],
)
def test_covers(paid: str, amount: str, currency: str, enough: bool) -> None:
    assert covers(Decimal(paid), Decimal(amount), currency) is enough


@pytest.mark.parametrize(
    ("refunded_minor", "captured", "currency", "back"),
    [
        (0, "29.7381", "eur", "0"),
        (1000, "29.7381", "eur", "10"),
        (2973, "29.7381", "eur", "29.73"),
        (2974, "29.7381", "eur", "29.7381"),
        (2975, "29.7381", "eur", "29.7381"),
        (3500, "3500.5", "jpy", "3500"),
        (3501, "3500.5", "jpy", "3500.5"),
        (1240, "1.234", "kwd", "1.234"),
    ],
)
def test_given_back(refunded_minor: int, captured: str, currency: str, back: str) -> None:
    """All of it is the unrounded sum, so that no fraction of a cent stays open."""
    assert given_back(refunded_minor, Decimal(captured), currency) == Decimal(back)


@pytest.mark.parametrize(("currency", "step"), [("eur", 1), ("jpy", 1), ("kwd", 10), ("TND", 10)])
def test_what_two_sums_differ_by_at_least(currency: str, step: int) -> None:
    assert smallest_step(currency) == step


@pytest.mark.parametrize(
    ("minor", "amount", "currency", "sum_"),
    [
        (2974, "29.7381", "eur", "29.7381"),
        (2973, "29.7381", "eur", "29.73"),
        (1240, "1.234", "kwd", "1.234"),
        (1230, "1.234", "kwd", "1.230"),
        (3501, "3500.5", "jpy", "3500.5"),
    ],
)
def test_a_sum_that_is_the_amount_rounded_is_the_amount(minor: int, amount: str, currency: str, sum_: str) -> None:
    assert unrounded(minor, Decimal(amount), currency) == Decimal(sum_)
