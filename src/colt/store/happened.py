"""A journal as events again, read as far as it has been written and as far as it is sound.

A journal is data from strangers: the types of all fields are checked, and nothing in it is evaluated. A line that
is no event is skipped and counted, since whoever looks at a damaged run wants to see what is left of it; a replay,
which needs all of it, reads with :func:`colt.store.journal.read_journal`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from colt import events
from colt.errors import InputError
from colt.events import Event
from colt.knobs import Edit, Jump, Schedule, Transformation, Value
from colt.store.journal import RENAMED

MARK = 512
LONGEST_LINE = 1 << 20
"""Bytes of one event; a longer line is skipped."""
CHUNK = 1 << 24
"""Bytes that are read at a time."""


class JournalReader:
    """Reads a journal that may still be growing: each :meth:`read` gives what is new since the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        """Whole lines so far."""
        self.skipped = 0
        """Those of them that are no event of this version."""
        self.first_skipped: int | None = None
        """The number of the first such line."""
        self._offset = 0
        self._mark = b""
        """The bytes before ``_offset``: they tell whether the journal is still the one that was read."""
        self._passing = False
        """Whether the rest of a line that is too long is being passed over."""

    @property
    def torn(self) -> int:
        """Bytes after the last whole line: an event that is being written, or was when the run died."""
        try:
            return max(0, self.path.stat().st_size - self._offset)
        except OSError:
            return 0

    def is_another(self) -> bool:
        """Whether what was read is no longer there: a resumed run replaces the end of its journal."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._mark))
                return file.read(len(self._mark)) != self._mark
        except OSError:
            return bool(self._mark)

    def read(self) -> Iterator[tuple[float, Event]]:
        """The new events, each with the seconds since the journal was opened.

        Raises :class:`InputError` if the journal cannot be read.
        """
        try:
            if not self.path.is_file():
                raise InputError(f"{self.path} is no journal: it is {'no file' if self.path.exists() else 'missing'}")
            with self.path.open("rb") as file:
                file.seek(self._offset)
                while lines := self._whole_lines(file.read(CHUNK)):
                    self._mark = lines[-MARK:] if not self._passing else b""
                    for line in lines.splitlines():
                        self.lines += 1
                        if (found := event_of(line)) is not None:
                            yield found
                        else:
                            self.skipped += 1
                            self.first_skipped = self.first_skipped or self.lines
                    file.seek(self._offset)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _whole_lines(self, chunk: bytes) -> bytes:
        """The part of the chunk up to its last whole line; moves on by it."""
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(chunk) == CHUNK:
            end, self._passing = CHUNK, True
            self._offset += end
            return b"\n"
        self._offset += end
        if self._passing and end:
            self._passing = False
            first = chunk.index(b"\n") + 1
            return chunk[first:end] or b"\n"
        return chunk[:end]


def event_of(line: bytes) -> tuple[float, Event] | None:
    """The event of a journal's line and its time; ``None`` if it is none of this version's."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        read = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = _earlier(line)
    return None if read is None or not _finite(read) else (read.t, _event(read))


def _earlier(line: bytes) -> Any:
    """A line in which fields have the names of earlier versions."""
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        return msgspec.convert({RENAMED.get(key, key): value for key, value in record.items()}, _LINE)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class _Step(msgspec.Struct, frozen=True):
    """An edit or a jump as :func:`colt.events.to_record` writes it."""

    knob: str | None = None
    value: Value | None = None
    jump: tuple[str, str] | None = None


class _ScheduleLine(msgspec.Struct, frozen=True):
    variant: str
    sketch: str
    values: tuple[Value, ...]


_WRITTEN: dict[Any, Any] = {
    Schedule: _ScheduleLine,
    Transformation: tuple[_Step, ...],
    tuple[Transformation, ...]: tuple[tuple[_Step, ...], ...],
}
"""How fields of events that are no plain data are written."""


def _struct_of(kind: type[Event]) -> type[msgspec.Struct]:
    """What a line of that event holds."""
    hints = typing.get_type_hints(kind)
    fields: list[Any] = [("t", float)]
    for spec in dataclasses.fields(kind):
        written = _WRITTEN.get(hints[spec.name], hints[spec.name])
        plain = (spec.name, written)
        fields.append(plain if spec.default is dataclasses.MISSING else (*plain, spec.default))
    return msgspec.defstruct(kind.__name__, fields, tag_field="event", tag=kind.__name__.lower(), frozen=True)


_EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
_KINDS: dict[type[msgspec.Struct], type[Event]] = {_struct_of(kind): kind for kind in _EVENTS if kind is not Event}
_FIELDS = {struct: tuple(spec.name for spec in dataclasses.fields(kind)) for struct, kind in _KINDS.items()}
_LINE: Any = functools.reduce(operator.or_, _KINDS)
_DECODER = msgspec.json.Decoder(_LINE)


def _finite(read: Any) -> bool:
    values = (getattr(read, name) for name in ("t", *_FIELDS[type(read)]))
    return all(math.isfinite(value) for value in values if isinstance(value, float))


def _event(read: Any) -> Event:
    kind = type(read)
    return _KINDS[kind](*[_value(getattr(read, name)) for name in _FIELDS[kind]])


def _value(value: Any) -> Any:
    if isinstance(value, _ScheduleLine):
        return Schedule(value.variant, value.sketch, value.values)
    if isinstance(value, _Step):
        return Jump(*value.jump) if value.jump is not None else Edit(value.knob or "", value.value)
    if isinstance(value, tuple):
        return tuple(_value(item) for item in value)
    return value
