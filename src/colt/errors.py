"""The exceptions that COLT raises. Everything a user can cause derives from :class:`ColtError`."""

from __future__ import annotations


class ColtError(Exception):
    """Base of all errors that COLT raises on purpose; the command line prints them and exits with 2."""


class InputError(ColtError):
    """What the user gave is not usable: the message says what is wrong, where, and what is accepted."""


class IllegalEdit(ColtError):
    """An edit names no knob of the schedule, or a value that the knob does not take."""


class Rejected(ColtError):
    """A legal transformation that yields no usable program (a schedule primitive or a post-processor failed)."""


class MeasureError(ColtError):
    """Measuring as a whole is impossible (the worker does not start, the untuned program does not run)."""


class StorageError(ColtError):
    """A file of the run cannot be written, such as on a full disk: the message names it. What was found is not lost."""


class ReplayError(ColtError):
    """A replay does something else than the recorded run did; the text says where and what."""
