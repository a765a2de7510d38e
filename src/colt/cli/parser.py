"""Arguments that cannot be used are refused in one line that gives the reason first."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from colt.errors import InputError
from colt.util.declared import Kind, Option, OptionError
from colt.util.text import did_you_mean, nearest

METAVARS = {Kind.INTEGER: "N", Kind.NUMBER: "X"}
_MISSING = re.compile(r"the following arguments are required: (.*)")


class UsageError(InputError):
    """The arguments are not those of a command."""


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` in place of printing the usage and exiting."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(exit_on_error=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As its base does; unknown options are an error."""
        arguments = sys.argv[1:] if args is None else list(args)
        self._require_known(arguments)
        try:
            parsed, left = super().parse_known_args(arguments, namespace)
        except OptionError as error:
            self.error(error.with_flags())
        except argparse.ArgumentError as error:
            self.error(_in_words(error))
        if left:
            self.error(f"unexpected argument{'s' if len(left) > 1 else ''}: {' '.join(left)}")
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UsageError`."""
        if missing := _MISSING.fullmatch(message):
            names = missing[1]
            message = f"{names} {'are' if ', ' in names else 'is'} missing"
        raise UsageError(f"{message}\n(see {self.prog} --help)")

    def _require_known(self, arguments: Sequence[str]) -> None:
        """Refuse a long option that this parser does not have; those of a command are for its own parser."""
        known = [name for name in self._option_string_actions if name.startswith("--")]
        for argument in arguments:
            if argument == "--" or (self._subparsers is not None and not argument.startswith("-")):
                return
            name = argument.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                near = nearest(name, known)
                meant = f"; did you mean {near[0]}?" if near else ""
                self.error(f"{self.prog} has no option {name}{meant}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse calls this for the name of a command; no other argument has choices."""
        if action.choices is not None and value not in action.choices:
            hint = did_you_mean(str(value), [str(choice) for choice in action.choices])
            self.error(f"{self.prog} has no command {value!r}; {hint}")


def _in_words(error: argparse.ArgumentError) -> str:
    name, problem = error.argument_name, error.message
    if name is None:
        return problem
    if problem.startswith("expected "):
        return f"{name} needs a value"
    if problem.startswith("ignored explicit argument"):
        return f"{name} takes no value"
    return f"{name} {problem}" if problem.startswith("is ") else f"{name}: {problem}"


def integer(text: str) -> int:
    """The ``type`` of an argument that is not declared as an :class:`Option`."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {text!r}; it takes an integer") from None


def add_declared(group: Any, options: Sequence[Option], dest: Callable[[str], str], default: str | None = None) -> None:
    """Add an argument for each option that has a name on the command line; absent from what is parsed unless given.

    ``default`` says what holds then, if it is not what is declared.
    """
    for one in options:
        if not one.flag:
            continue
        settings: dict[str, Any] = {"dest": dest(one.name), "default": argparse.SUPPRESS, "help": _help(one, default)}
        if one.kind is Kind.FLAG:
            group.add_argument(one.flag, action="store_false" if one.default else "store_true", **settings)
        else:
            choices = f"{{{','.join(one.choices)}}}" if one.choices else None
            metavar = one.metavar or choices or METAVARS.get(one.kind)
            if one.alone:
                settings |= {"nargs": "?", "const": one.alone}
            group.add_argument(one.flag, type=one.parse, metavar=metavar or one.name.upper(), **settings)


def add_program_of_run(command: Any) -> None:
    """The argument that names the program of a run that exists already."""
    command.add_argument(
        "program",
        metavar="PROGRAM",
        nargs="?",
        help="its program, to be compared with the recorded one; a file of yours is run for that",
    )


def _help(one: Option, default: str | None) -> str:
    if default is None and one.default is not None and one.kind is not Kind.FLAG:
        default = f"{one.default:.4g}" if isinstance(one.default, float) else str(one.default)
    stated = "" if default is None else f" (default: {default})"
    return f"{one.meaning}{stated}".replace("%", "%%")


def input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """A name and sizes, such as ``x=1,3,224,224``. Raises :class:`InputError`."""
    return _named_sizes(text, "--shape", "NAME=SIZES, such as input=1,3,224,224")


def open_sizes(text: str) -> tuple[str, tuple[int, ...]]:
    """The same of sizes that a file leaves open, such as ``batch=1,8,32``. Raises :class:`InputError`."""
    return _named_sizes(text, "--sizes", "NAME=SIZES, such as batch=1,8,32")


def _named_sizes(text: str, flag: str, wanted: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    if not name or not all(size.isdecimal() and int(size) for size in sizes.split(",")):
        raise InputError(f"{flag} is {text!r}; it takes {wanted}")
    return name, tuple(map(int, sizes.split(",")))


def by_name(given: Sequence[tuple[str, tuple[int, ...]]] | None, flag: str) -> dict[str, tuple[int, ...]] | None:
    """What an argument that may be repeated was given; ``None`` if it was not. Raises :class:`InputError`."""
    names = [name for name, _ in given or ()]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{flag} is given twice for {name}")
    return dict(given) if given else None
