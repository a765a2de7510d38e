"""Who is in a pool: language models, with where each answers and what it may cost, and built-in experts."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from colt.errors import InputError
from colt.proposers.experts import builtin
from colt.proposers.language.money import Prices
from colt.search.types import MemberSpec
from colt.util.text import why

TABLE = "member"
"""The name of a member's table in TOML."""
PRICE_FIELDS = ("input", "cached_input", "output")
CHOICES = {
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh"),
    "max_output_field": ("max_tokens", "max_completion_tokens"),
    "response_format": ("json_schema", "json_object"),
}
OPENAI = "api.openai.com"

_OPTIONAL = ("api_key_env", "prices", "temperature", "reasoning_effort")
_SHOWN_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class ModelMember:
    """A language model of the pool, all its fields resolved. Holds no key, only the name of the key's variable."""

    name: str
    """What the pool calls it."""
    model: str
    """What the endpoint calls it."""
    base_url: str
    api_key_env: str | None
    size_b: float
    nominal: bool
    prices: Prices | None
    prices_from: str
    concurrency: int
    """Requests in flight at most."""
    timeout_s: float
    """How long a request may take."""
    max_output_tokens: int
    max_output_field: str
    """What the endpoint calls that limit; an endpoint that does not know the name answers without bound."""
    json_schema: bool
    """Whether the endpoint is known to enforce a JSON schema."""
    response_format: str
    """The ``type`` of the ``response_format`` that carries the schema."""
    temperature: float | None
    reasoning_effort: str | None

    @property
    def spec(self) -> MemberSpec:
        """As the tree policy sees it."""
        return MemberSpec(self.name, self.size_b, self.nominal)

    @property
    def is_free(self) -> bool:
        """Whether it is known to cost nothing."""
        return self.prices is not None and not (self.prices.input or self.prices.output)

    def key(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The key; ``None`` if the endpoint takes none. Raises :class:`InputError` if it is unset or unusable."""
        if self.api_key_env is None:
            return None
        return checked_key(self.api_key_env, environment)


@dataclass(frozen=True, slots=True)
class ExpertMember:
    """A built-in expert of the pool."""

    name: str

    @property
    def spec(self) -> MemberSpec:
        """As the tree policy sees it."""
        return builtin.specs([self.name])[0]


Member = ModelMember | ExpertMember


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """The members of a pool, checked, in the order in which the user names them."""

    members: tuple[Member, ...]

    @property
    def specs(self) -> tuple[MemberSpec, ...]:
        """Names and sizes."""
        return tuple(member.spec for member in self.members)

    @property
    def models(self) -> tuple[ModelMember, ...]:
        """The language models alone."""
        return tuple(member for member in self.members if isinstance(member, ModelMember))

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the built-in experts."""
        return tuple(member.name for member in self.members if isinstance(member, ExpertMember))

    @classmethod
    def built_in(cls, names: Sequence[str] = builtin.DEFAULT) -> PoolSpec:
        """A pool of built-in experts alone. Raises :class:`InputError` for an unknown or repeated name."""
        return cls(tuple(ExpertMember(spec.name) for spec in builtin.specs(names)))

    def to_tables(self) -> list[dict[str, object]]:
        """For a run's config: all fields, also those that were looked up, and no key."""
        return [_table(member) for member in self.members]

    @classmethod
    def from_tables(cls, tables: Sequence[Mapping[str, object]]) -> PoolSpec:
        """The pool of a run's config; neither reads keys nor looks anything up. Raises :class:`InputError`."""
        try:
            members = tuple(
                ExpertMember(builtin.specs([str(table["expert"])])[0].name)
                if "expert" in table
                else msgspec.convert({**dict.fromkeys(_OPTIONAL), **table}, ModelMember)
                for table in tables
            )
        except msgspec.ValidationError as error:
            raise InputError(f"a {TABLE} is not what a run writes: {why(error)}") from None
        names = [member.name for member in members]
        if not names or len(set(names)) < len(names):
            raise InputError(f"the pool needs members of different names; it has {', '.join(names) or 'none'}")
        return cls(members)


def checked_key(variable: str, environment: Mapping[str, str]) -> str:
    """The key that an environment variable holds. Raises :class:`InputError`, never with what could be the key."""
    shown = variable if _SHOWN_VARIABLE.fullmatch(variable) else "the variable that api_key_env names"
    key = environment.get(variable, "")
    if not key:
        raise InputError(f"{shown} is not set; it must hold the endpoint's key")
    if not _KEY.fullmatch(key):
        raise InputError(f"{shown} holds blanks or characters beyond ASCII; it must hold the endpoint's key alone")
    return key


def _table(member: Member) -> dict[str, object]:
    if isinstance(member, ExpertMember):
        return {"expert": member.name}
    table: dict[str, object] = {spec.name: getattr(member, spec.name) for spec in dataclasses.fields(member)}
    if member.prices is not None:
        prices = {key: getattr(member.prices, key) for key in PRICE_FIELDS}
        table["prices"] = {key: str(value) for key, value in prices.items() if value is not None}
    return {key: value for key, value in table.items() if value is not None}
