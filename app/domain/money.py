"""Money in the smallest unit of its currency, rounded as Medusa's Stripe provider rounds it."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Final

# Stripe's currencies without decimals and with three; all others have two.
# Source: docs.stripe.com/currencies; the same lists stand in Medusa 2.21.2's Stripe provider.
_ZERO_DECIMAL: Final = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"],
)
_THREE_DECIMAL: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "OMR", "TND"])


def decimal_digits(currency: str) -> int:
    """How many decimals ``currency`` (ISO 4217, any case) has: 0, 2 or 3."""
    code = currency.upper()
    if code in _ZERO_DECIMAL:
        return 0
    return 3 if code in _THREE_DECIMAL else 2


def to_minor_units(amount: Decimal, currency: str) -> int:
    """``amount`` in the smallest unit, as the PaymentIntent carries it.

    Medusa does not round its totals: an order of 29.7381 EUR is an intent of 2974. Three-decimal
    currencies are rounded up to a multiple of ten, since cards take no third decimal.
    """
    digits = decimal_digits(currency)
    minor = (amount * (10**digits)).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    if digits == 3:
        minor = (minor / 10).quantize(Decimal(1), rounding=ROUND_CEILING) * 10
    return int(minor)


def smallest_step(currency: str) -> int:
    """What two sums of ``currency`` differ by at least, in the smallest unit: cards take no third decimal."""
    return 10 if decimal_digits(currency) == 3 else 1


def from_minor_units(minor: int, currency: str) -> Decimal:
    """A sum in major units from Stripe's integer: 2974 EUR cents are ``Decimal("29.74")``."""
    return Decimal(minor).scaleb(-decimal_digits(currency))


def unrounded(minor: int, amount: Decimal, currency: str) -> Decimal:
    """Return a sum of smallest units in major units: ``amount`` itself where the sum is ``amount`` rounded."""
    return amount if minor == to_minor_units(amount, currency) else from_minor_units(minor, currency)


def given_back(refunded_minor: int, captured: Decimal, currency: str) -> Decimal:
    """What was refunded, in major units, of ``captured``. Where it is everything, Medusa's unrounded sum, so that
    nothing is left over."""
    if refunded_minor >= to_minor_units(captured, currency):
        return captured
    return from_minor_units(refunded_minor, currency)


def covers(paid: Decimal, amount: Decimal, currency: str) -> bool:
    """Whether ``paid`` reaches ``amount`` once both are rounded to the currency's decimals."""
    return _rounded(paid, currency) >= _rounded(amount, currency)


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimal_digits(currency)), rounding=ROUND_HALF_UP)
