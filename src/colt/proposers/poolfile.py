"""The pool file: who is in the pool, where each model answers, what it may cost. ``docs/pool.md`` has the fields."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from colt.errors import InputError
from colt.proposers.experts import builtin
from colt.proposers.language.known import size_of
from colt.proposers.language.money import Prices
from colt.proposers.language.prices import look_up
from colt.proposers.lines import Lines
from colt.proposers.members import (
    CHOICES,
    OPENAI,
    PRICE_FIELDS,
    TABLE,
    ExpertMember,
    Member,
    ModelMember,
    PoolSpec,
    checked_key,
)
from colt.util.text import nearest

POOL_FILE = ".toml"
"""How the name of a pool file ends."""
MOST_PRICE = Decimal(100_000)
"""Dollars per million tokens: more is a mistake of units."""


class Number(NamedTuple):
    """What a numeric field takes, both ends included."""

    kind: type
    low: float
    high: float
    default: float | None


NUMBERS = {
    "size_b": Number(float, 0.001, 100_000, None),
    "concurrency": Number(int, 1, 256, 8),
    "timeout_s": Number(float, 0.1, 3600, 120.0),
    "max_output_tokens": Number(int, 16, 1_000_000, 4096),
    "temperature": Number(float, 0, 2, None),
}
MODEL_FIELDS = ("name", "model", "base_url", "api_key_env", "nominal", "prices", "json_schema", *NUMBERS, *CHOICES)

RESERVED = ("random", "sampled", "untuned")
"""Who makes schedules beside the pool."""
ENFORCES_SCHEMA = (OPENAI,)
"""Hosts known to enforce a JSON schema for all their models; ``colt pool check`` finds out about others."""

_NAME = re.compile(r"[!-~]{1,100}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_pool(pool: str | Path | Sequence[str] | None) -> PoolSpec:
    """A pool file (a path that ends in ``.toml``), or names of built-in experts: a sequence, or text with commas.

    All built-in experts if left out. Raises :class:`InputError`.
    """
    if pool is None:
        return PoolSpec.built_in()
    if isinstance(pool, str) and not pool.endswith(POOL_FILE):
        return PoolSpec.built_in(pool.split(","))
    if not isinstance(pool, str | Path):
        return PoolSpec.built_in(tuple(pool))
    read = load_pool(Path(pool))
    if read.models:
        from colt.proposers.language import client  # noqa: F401  it needs an extra: say so before anything is started
    return read


def load_pool(path: Path, environment: Mapping[str, str] = os.environ) -> PoolSpec:
    """Read and check a pool file, look up what it leaves out, and see that every key is there.

    Raises
    ------
    InputError
        Something is not usable; the message names the file and the line, and what is accepted. It never shows a value
        that could be a key.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file; a pool file is TOML (docs/pool.md)")
        text = path.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(f"{text}\n", parse_float=Decimal)  # with that even an error at the end has a line
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise InputError(f"{path} is not TOML: {error}") from None
    lines = Lines(text, TABLE)
    for name in tables:
        if name != TABLE:
            line = lines.outside(name)
            where = f"{path}, line {line}" if line else f"{path}"
            raise InputError(f"{where}: {name!r} is not known here; a pool is a list of [[{TABLE}]] tables")
    members = tables.get(TABLE)
    if not isinstance(members, list) or not members or not all(isinstance(table, dict) for table in members):
        line = lines.of(0) or lines.outside(TABLE)
        where = f"{path}, line {line}:" if line else f"{path}"
        raise InputError(f"{where} has no members; a pool is a list of [[{TABLE}]] tables")
    read = [_Reader(path, lines, index, table, environment) for index, table in enumerate(members)]
    pool: list[Member] = []
    for reader in read:
        member = reader.member()
        if member.name in [other.name for other in pool]:
            reader.refuse("name" if "name" in reader.table else "expert", f"the pool has {member.name!r} twice")
        pool.append(member)
    return PoolSpec(tuple(pool))


class _Reader:
    """One table of the file."""

    def __init__(
        self, path: Path, lines: Lines, index: int, table: dict[str, Any], environment: Mapping[str, str]
    ) -> None:
        self.path = path
        self.lines = lines
        self.index = index
        self.table = table
        self.environment = environment

    def refuse(self, key: str | None, message: str) -> NoReturn:
        """Raise with file and line."""
        line = self.lines.of(self.index, key)
        where = f"line {line}" if line else f"{TABLE} {self.index + 1}"
        raise InputError(f"{self.path}, {where}: {message}")

    def member(self) -> Member:
        """Either kind of member."""
        return self._expert() if "expert" in self.table else self._model()

    def _expert(self) -> ExpertMember:
        for key in self.table:
            if key != "expert":
                self.refuse(key, f"a built-in expert takes no {key!r}; it has only 'expert'")
        name = self.table["expert"]
        if not isinstance(name, str) or name not in builtin.EXPERTS:
            self.refuse("expert", f"there is no built-in expert {_shown(name)}; there are {', '.join(builtin.EXPERTS)}")
        return ExpertMember(name)

    def _model(self) -> ModelMember:
        self._only(self.table, MODEL_FIELDS, None)
        name = self._text("name")
        if name is None:
            self.refuse(None, f"a {TABLE} needs a 'name' and a 'base_url', or an 'expert'")
        if not _NAME.fullmatch(name):
            self.refuse("name", f"name is {name!r}; it takes up to 100 ASCII characters without blanks")
        if name in RESERVED:
            self.refuse("name", f"{name!r} is what the receipt calls schedules of no model; name the model differently")
        if name in builtin.EXPERTS:
            self.refuse("name", f"{name!r} is the name of a built-in expert; name the model differently")
        model = self._text("model") or name
        base_url = self._base_url()
        host = urlsplit(base_url).hostname or ""
        size_b, nominal = self._size(model)
        prices, source = self._prices(model, base_url)
        json_schema = self._flag("json_schema")
        return ModelMember(
            name=name,
            model=model,
            base_url=base_url,
            api_key_env=self._key_variable(),
            size_b=size_b,
            nominal=nominal,
            prices=prices,
            prices_from=source,
            concurrency=int(self._number("concurrency")),
            timeout_s=self._number("timeout_s"),
            max_output_tokens=int(self._number("max_output_tokens")),
            max_output_field=self._choice("max_output_field")
            or ("max_completion_tokens" if host == OPENAI else "max_tokens"),
            json_schema=host in ENFORCES_SCHEMA if json_schema is None else json_schema,
            response_format=self._choice("response_format") or "json_schema",
            temperature=self._number_if_given("temperature"),
            reasoning_effort=self._choice("reasoning_effort"),
        )

    def _only(self, table: Mapping[str, Any], known: tuple[str, ...], within: str | None) -> None:
        for key in table:
            if key in known:
                continue
            if within is None and key in ("key", "api_key", "token"):
                self.refuse(key, "keys do not belong in the file; api_key_env names the variable that holds it")
            close = nearest(key, [*known, "expert"] if within is None else known)
            meant = f"did you mean {close[0]!r}? " if close else ""
            self.refuse(within or key, f"{key!r} is not known here; {meant}there are {', '.join(known)}")

    def _text(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.refuse(key, f"{key} takes one line of text")
        return value

    def _flag(self, key: str) -> bool | None:
        value = self.table.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, f"{key} is {_shown(value)}; it takes true or false")
        return value

    def _number(self, key: str) -> float:
        """A field that has a default."""
        value = self._number_if_given(key)
        default = NUMBERS[key].default
        assert default is not None
        return default if value is None else value

    def _number_if_given(self, key: str) -> float | None:
        kind, low, high, _ = NUMBERS[key]
        value = self.table.get(key)
        if value is None:
            return None
        if not (_is_number(value) and (kind is float or isinstance(value, int)) and low <= value <= high):
            wanted = "an integer" if kind is int else "a number"
            self.refuse(key, f"{key} is {_shown(value)}; it takes {wanted} from {low} to {high}")
        return float(value)

    def _choice(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is not None and value not in CHOICES[key]:
            self.refuse(key, f"{key} is {_shown(value)}; it takes one of {', '.join(CHOICES[key])}")
        return value

    def _base_url(self) -> str:
        value = self._text("base_url")
        wanted = "it takes the address of an OpenAI-compatible endpoint, such as https://api.openai.com/v1"
        if value is None:
            self.refuse(None, f"base_url is missing; {wanted}")
        try:
            url = urlsplit(value)
            usable = url.scheme in ("http", "https") and url.hostname and url.port != 0 and not re.search(r"\s", value)
        except ValueError:
            usable = False
        if not usable:
            self.refuse("base_url", f"base_url is not an address; {wanted}")
        if "@" in url.netloc or url.query or url.fragment:
            self.refuse("base_url", f"base_url has more than host, port and path; {wanted}, and keys go in api_key_env")
        return value.rstrip("/")

    def _key_variable(self) -> str | None:
        variable = self._text("api_key_env")
        if variable is None:
            return None
        if not _VARIABLE.fullmatch(variable):  # perhaps the key itself: not to be shown
            self.refuse("api_key_env", "api_key_env takes the name of an environment variable, such as OPENAI_API_KEY")
        try:
            checked_key(variable, self.environment)
        except InputError as error:
            self.refuse("api_key_env", str(error))
        return variable

    def _size(self, model: str) -> tuple[float, bool]:
        stated, nominal = self._number_if_given("size_b"), self._flag("nominal")
        if stated is not None:
            return stated, bool(nominal)
        if nominal is not None:
            self.refuse("nominal", "nominal says how a stated size_b is meant; there is no size_b")
        known = size_of(model)
        if known is None:
            self.refuse(
                None,
                f"the size of {model!r} is not known; state size_b, in billions of parameters "
                "(with nominal = true if it is only a guess)",
            )
        return known

    def _prices(self, model: str, base_url: str) -> tuple[Prices | None, str]:
        table = self.table.get("prices")
        if table is None:
            try:
                return look_up(model, base_url)
            except InputError as error:
                self.refuse(None, f"{error}; or state prices = {{ input = ..., output = ... }}")
        wanted = "dollars per million tokens, such as { input = 0.25, cached_input = 0.025, output = 2 }"
        if not isinstance(table, dict):
            self.refuse("prices", f"prices takes {wanted}")
        self._only(table, PRICE_FIELDS, "prices")
        for key, value in table.items():
            if not (_is_number(value) and 0 <= value <= MOST_PRICE):
                self.refuse("prices", f"the price of {key} is {_shown(value)}; prices takes {wanted}")
        if "input" not in table or "output" not in table:
            self.refuse("prices", f"prices needs input and output: {wanted}")
        cached = table.get("cached_input")
        return Prices(Decimal(table["input"]), Decimal(table["output"]), None if cached is None else Decimal(cached)), (
            "pool file"
        )


def _is_number(value: object) -> bool:
    """Whether it is a number that TOML has: an integer or a finite decimal."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, Decimal) and value.is_finite()
    )


def _shown(value: object) -> str:
    """A wrong value for a message; a long text could be a key that got into the wrong field."""
    if isinstance(value, Decimal):
        return f"{value}"
    if isinstance(value, bool | int):
        return repr(value)
    return repr(value) if isinstance(value, str) and len(value) <= 12 else f"a {type(value).__name__}"
