"""What TVM throws, and how it becomes one answer: what was asked for is not possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from colt.errors import Rejected
from colt.util.text import first_line

TVM_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, OverflowError)
"""ScheduleError and InternalError are RuntimeErrors. Maps of TVM throw KeyError, and what hands it too large a number
throws OverflowError."""
_MOST = 200
"""Characters of a reason."""


def reason(error: BaseException) -> str:
    """TVM's reason in one line, without its name for the error."""
    return first_line(error).removeprefix("ScheduleError: ")[:_MOST]


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Make :class:`~colt.errors.Rejected` of what TVM throws inside, or in a function that this decorates; its message
    is ``what``, and TVM's reason."""
    try:
        yield
    except TVM_ERRORS as error:
        raise Rejected(f"{what}: {reason(error)}") from error
