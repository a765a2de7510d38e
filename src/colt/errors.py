"""The exceptions that COLT raises. Everything a user can cause derives from :class:`ColtError`."""

from __future__ import annotations

import re


class ColtError(Exception):
    """Base of all errors that COLT raises on purpose; the command line prints them and exits with 2."""


class InputError(ColtError):
    """The user's input is not usable: the message says what is wrong, where, and what is accepted."""


class ArgumentError(InputError):
    """An argument cannot be used; the message begins with its name, as a keyword of Python. ``others`` are the
    arguments that the ``problem`` names as well."""

    def __init__(self, name: str, problem: str, others: tuple[str, ...] = ()) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem
        self.others = others

    def with_flags(self) -> str:
        """The message with the arguments' names on the command line."""
        problem = self.problem
        for other in self.others:
            problem = re.sub(rf"\b{other}\b", _flag(other), problem)
        return f"{_flag(self.name)} {problem}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class IllegalEdit(ColtError):
    """An edit names no knob of the schedule, or a value that its knob does not take."""


class Rejected(ColtError):
    """A legal transformation gives no usable program: a schedule primitive or a post-processor failed."""


class MeasureError(ColtError):
    """Nothing can be measured: the worker does not start, or the untuned program does not run."""


class StorageError(ColtError):
    """A file cannot be written, such as on a full disk: the message names it. What a run found is not lost."""


class ReplayError(ColtError):
    """A replay does something else than the recorded run did; the message says where and what."""
