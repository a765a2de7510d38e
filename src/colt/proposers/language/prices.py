"""Prices that the pool file doesn't state, from the database in the ``genai-prices`` package."""

from __future__ import annotations

from decimal import Decimal
from importlib.metadata import version
from typing import Any, NamedTuple

from colt.errors import InputError
from colt.proposers.language.money import Prices

INSTALL = "pip install 'colt-tuner[models]'"


class Priced(NamedTuple):
    """Prices and their source; if there are none, ``source`` says why."""

    prices: Prices | None
    source: str


def look_up(model: str, base_url: str) -> Priced:
    """The prices of a model at an endpoint today, as the installed database has them.

    If a price depends on the length of the input, the highest is taken, so that bounds made from it hold.
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
    """A price, or the highest of its tiers; ``None`` if there is none."""
    price = getattr(found, name, None)
    if price is None or isinstance(price, Decimal):
        return price
    highest: Decimal = max([price.base, *(tier.price for tier in price.tiers)])
    return highest
