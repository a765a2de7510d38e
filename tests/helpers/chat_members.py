"""A language model of a pool, for tests."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

from colt.proposers.language.money import Prices
from colt.proposers.members import ModelMember

KEY = "sk-secret/0123456789-abcdef"
PRICES = Prices(Decimal("0.25"), Decimal(2), Decimal("0.025"))


def member(url: str, **changes: Any) -> ModelMember:
    plain = ModelMember(
        name="small",
        model="org/small-7b",
        base_url=url,
        api_key_env="COLT_TEST_KEY",
        size_b=7.0,
        nominal=False,
        prices=PRICES,
        prices_from="test",
        concurrency=8,
        timeout_s=5.0,
        max_output_tokens=200,
        max_output_field="max_tokens",
        json_schema=False,
        response_format="json_schema",
        temperature=None,
        reasoning_effort=None,
    )
    return dataclasses.replace(plain, **changes)
