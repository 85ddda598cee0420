"""What a plan costs by the hour, as far as the public price list says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.api.v1alpha1 import OfferingSpec, PriceComponent, PriceList, UsagePrice
from isthmus.core.render import as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One part of the price; ``per_hour`` is None where the list does not say it."""

    name: str
    per_hour: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """List prices, before taxes and discounts."""

    currency: str
    region: str
    as_of: date
    source: str
    lines: tuple[Line, ...]
    usage: tuple[UsagePrice, ...]

    @property
    def per_hour(self) -> Decimal | None:
        """The sum, or None where a part is unknown."""
        known = [line.per_hour for line in self.lines if line.per_hour is not None]
        return sum(known, Decimal(0)) if len(known) == len(self.lines) else None


def estimate(
    definition: OfferingSpec, plan: str, values: Mapping[str, Any], place: tuple[str, str]
) -> Estimate | None:
    """Return the price at a place, (driver, region), or None where no price list covers it."""
    driver, region = place
    prices = next((p for p in definition.prices if (p.driver, p.region) == (driver, region)), None)
    if prices is None:
        return None
    parts = [c for c in prices.hourly if not c.plans or plan in c.plans]
    return _estimate(prices, tuple(Line(name=c.name, per_hour=_hour(c, values)) for c in parts))


def _estimate(prices: PriceList, lines: tuple[Line, ...]) -> Estimate:
    return Estimate(
        currency=prices.currency,
        region=prices.region,
        as_of=prices.as_of,
        source=prices.source,
        lines=lines,
        usage=prices.usage,
    )


def _hour(component: PriceComponent, values: Mapping[str, Any]) -> Decimal | None:
    price = component.amount
    if component.by:
        price = component.amounts.get(as_text(values.get(component.by)))
    for name in component.times:
        factor = values.get(name)
        price = None if price is None or factor is None else price * Decimal(str(factor))
    return price
