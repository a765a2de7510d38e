"""Prices that the pool file does not state, from the database that the ``genai-prices`` package carries with it."""

from __future__ import annotations

from decimal import Decimal
from importlib.metadata import version
from typing import Any, NamedTuple

from colt.errors import InputError
from colt.proposers.language.money import Prices

INSTALL = "pip install 'colt-tuner[models]'"


class Priced(NamedTuple):
    """Prices and where they are from; without prices, why there are none."""

    prices: Prices | None
    source: str


def look_up(model: str, base_url: str) -> Priced:
    """What that endpoint asks for that model today, as far as the installed database knows.

    Where a price depends on the length of the input the highest counts, so that a bound made from it holds.
    Raises :class:`InputError` if the package is missing.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise InputError(f"prices are looked up with genai-prices, which is not installed: {INSTALL}") from None
    source = f"genai-prices {version('genai-prices')}"
    try:
        found = calc_price(Usage(input_tokens=0, output_tokens=0), model, provider_api_url=base_url).model_price
    except LookupError:
        return Priced(None, f"{source} does not know this model at this endpoint")
    listed, result = _highest(found, "input_mtok"), _highest(found, "output_mtok")
    if listed is None or result is None:
        return Priced(None, f"{source} has no price per token for it")
    if _highest(found, "requests_kcount"):
        return Priced(None, f"{source} has a price per request for it, which COLT does not count")
    return Priced(Prices(listed, result, _highest(found, "cache_read_mtok")), source)


def _highest(found: Any, name: str) -> Decimal | None:
    """Of a price in tiers the highest: the base, or what some number of tokens raises it to."""
    price = getattr(found, name, None)
    if price is None or isinstance(price, Decimal):
        return price
    highest: Decimal = max([price.base, *(tier.price for tier in price.tiers)])
    return highest
