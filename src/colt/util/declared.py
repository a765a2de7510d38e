"""Options that are declared once: a frozen dataclass whose fields carry their range and meaning.

From the declarations follow the checks, the signature and docstring of a function that takes the options
(:func:`takes`), the command line, the config file and the documentation.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from colt.errors import InputError
from colt.util.text import did_you_mean

P = ParamSpec("P")
Options = TypeVar("Options")
Returned = TypeVar("Returned")


class Kind(Enum):
    """What values an option has; the value is the annotation of its field."""

    INTEGER = "int"
    NUMBER = "float"
    DOLLARS = "Decimal | float"
    FLAG = "bool"
    TEXT = "str"
    OTHER = ""
    """Anything else; whoever uses the option checks it."""


_NOUNS = {
    Kind.INTEGER: "an integer",
    Kind.NUMBER: "a number",
    Kind.DOLLARS: "a number of dollars",
    Kind.FLAG: "True or False",
    Kind.TEXT: "text",
    Kind.OTHER: "any object",
}
_PARSERS: dict[Kind, Callable[[str], object]] = {Kind.INTEGER: int, Kind.NUMBER: float, Kind.DOLLARS: Decimal}
_MOST_SHOWN = 200
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option."""

    name: str
    kind: Kind
    default: Any
    optional: bool
    """Whether ``None`` is a value."""
    meaning: str
    low: float | None
    high: float | None
    above: float | None
    choices: tuple[str, ...]
    takes: str
    example: str
    metavar: str
    flag: str
    """Its name on the command line; empty if it is not there."""
    group: str
    stored: bool
    """Whether a run's config file has it."""
    alone: str
    """What it is on the command line without a value; empty if it takes one."""

    @property
    def wanted(self) -> str:
        """What it takes, in words."""
        if self.takes:
            return self.takes
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        bounds = []
        if self.above is not None:
            bounds.append(f"above {self.above}")
        if self.low is not None:
            bounds.append(f"from {self.low}" if self.high is not None else f"of at least {self.low}")
        if self.high is not None:
            bounds.append(f"to {self.high}" if self.low is not None else f"and up to {self.high}")
        example = f", such as {self.example}" if self.example else ""
        return " ".join([_NOUNS[self.kind], *bounds]) + example

    def check(self, value: object) -> None:
        """Raise :class:`OptionError` unless ``value`` has the declared type and range."""
        if not (value is None and self.optional) and not self._accepts(value):
            raise self.error(f"is {_shown(value)}; it takes {self.wanted}")

    def parse(self, text: str) -> object:
        """The value that the text on a command line stands for. Raises :class:`OptionError`."""
        try:
            value = _PARSERS.get(self.kind, str)(text)
        except (ValueError, InvalidOperation):
            value = text
        self.check(value)
        return value

    def error(self, problem: str) -> OptionError:
        """An error that begins with the option's name."""
        return OptionError((self,), problem)

    def _accepts(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind is Kind.OTHER:
            return True
        if self.kind in (Kind.FLAG, Kind.TEXT):
            return isinstance(value, bool if self.kind is Kind.FLAG else str)
        types = {Kind.INTEGER: (int,), Kind.NUMBER: (int, float), Kind.DOLLARS: (int, float, Decimal)}[self.kind]
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        if isinstance(value, Decimal) and not value.is_finite():
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return -math.inf < value < math.inf and low <= value <= high and (self.above is None or value > self.above)


class OptionError(InputError):
    """Options have values that they cannot have, alone or together."""

    def __init__(self, options: tuple[Option, ...], problem: str) -> None:
        super().__init__(f"{', '.join(option.name for option in options)} {problem}")
        self.options = options
        self.problem = problem

    def with_flags(self) -> str:
        """The message with the names that options have on the command line."""
        return f"{', '.join(option.flag or option.name for option in self.options)} {self.problem}"


def option(
    default: object,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    takes: str = "",
    example: str = "",
    metavar: str = "",
    flag: str | None = None,
    group: str = "",
    stored: bool = True,
    alone: str = "",
) -> Any:
    """Declare an option: a field of a dataclass, with its meaning in one line.

    The annotation is its type. ``low`` and ``high`` are included in the range, ``above`` is not. ``takes`` replaces the
    words for the range, ``example`` follows them. ``flag`` is for a name on the command line other than the field's;
    the empty one keeps the option from there. ``stored`` has it written to a run's config file. ``alone`` is its value
    where the flag has none.
    """
    declared = {
        "meaning": meaning,
        "low": low,
        "high": high,
        "above": above,
        "choices": choices,
        "takes": takes,
        "example": example,
        "metavar": metavar,
        "flag": flag,
        "group": group,
        "stored": stored,
        "alone": alone,
    }
    return field(default=default, metadata=declared)


def same_as(declaring: Any, name: str, **changes: Any) -> Any:
    """Declare an option as another class does; ``changes`` are to its default or to what :func:`option` takes."""
    spec = next(spec for spec in fields(declaring) if spec.name == name)
    return option(**{"default": spec.default, **spec.metadata, **changes})


def options_of(declaring: Any) -> dict[str, Option]:
    """The options that a dataclass declares, by name; its module has ``from __future__ import annotations``."""
    return _options_of(declaring)


@functools.cache
def _options_of(declaring: Any) -> dict[str, Option]:
    found = {}
    for spec in fields(declaring):
        assert isinstance(spec.type, str), "annotations are read as text"
        assert spec.default is not MISSING, f"option {spec.name} has no default"
        annotation = spec.type.removesuffix(" | None")
        kind = next((kind for kind in Kind if kind.value == annotation), Kind.OTHER)
        declared = dict(spec.metadata)
        if declared["flag"] is None:
            declared["flag"] = f"--{'no-' if spec.default is True else ''}{spec.name.replace('_', '-')}"
        found[spec.name] = Option(
            name=spec.name, kind=kind, default=spec.default, optional=annotation != spec.type, **declared
        )
    return found


def check_all(declaring: object) -> None:
    """Check every option of an object. Raises :class:`OptionError`."""
    for name, one in options_of(type(declaring)).items():
        one.check(getattr(declaring, name))


def takes(
    declaring: Callable[P, Options],
) -> Callable[[Callable[[Any, Options], Returned]], Callable[Concatenate[Any, P], Returned]]:
    """Have a function of an object and an instance of ``declaring`` take every option as a keyword of its own.

    Type checkers and editors see each with its type, as :func:`inspect.signature` does; ``{options}`` in the docstring
    becomes the list of them. An unknown keyword is a :class:`TypeError` that names the nearest one.
    """
    known = options_of(declaring)

    def decorate(function: Callable[[Any, Options], Returned]) -> Callable[Concatenate[Any, P], Returned]:
        name = function.__name__

        def called(program: Any, *rest: P.args, **given: P.kwargs) -> Returned:
            if rest:
                raise TypeError(f"{name}() takes one program and options by name")
            for keyword in given:
                if keyword not in known:
                    raise TypeError(f"{name}() has no option {keyword!r}; {did_you_mean(keyword, list(known))}")
            return function(program, declaring(*rest, **given))

        functools.update_wrapper(called, function)
        called.__signature__ = _signature(function, declaring)  # type: ignore[attr-defined]
        called.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("{options}", _described(known))
        return cast(Callable[Concatenate[Any, P], Returned], called)

    return decorate


def _signature(function: Callable[..., Any], declaring: Any) -> inspect.Signature:
    written = inspect.signature(function)
    program = next(iter(written.parameters.values()))
    keywords = [
        inspect.Parameter(spec.name, inspect.Parameter.KEYWORD_ONLY, default=spec.default, annotation=spec.type)
        for spec in fields(declaring)
    ]
    return written.replace(parameters=[program, *keywords])


def _described(options: dict[str, Option]) -> str:
    return "\n".join(f"{name}\n    {sentence(one)}" for name, one in options.items())


def sentence(one: Option) -> str:
    """The meaning of an option, what it takes, and its default."""
    meaning = one.meaning[0].upper() + one.meaning[1:]
    accepted = "" if one.kind in (Kind.OTHER, Kind.TEXT) and not one.takes else f" Takes {one.wanted}."
    default = "" if one.default in (None, ()) else f" Default: {one.default}."
    return f"{meaning}.{accepted}{default}"


def _shown(value: object) -> str:
    """A wrong value, cut if it is long; one from a file may be of any size."""
    try:
        text = str(value) if isinstance(value, Decimal) else repr(cast(Any, value))
    except ValueError:  # an integer of thousands of digits
        return "a vast integer"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
