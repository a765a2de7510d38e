"""A journal as events again, read as far as it has been written and as far as it is sound.

A journal is data from strangers: the types of all fields are checked, and that their numbers are some that a run can
have found (:mod:`colt.store.bounds`). Nothing in it is evaluated, and no link is followed. A line that
is not an event is skipped and counted, since whoever looks at a damaged run wants to see what is left of it; a replay,
which needs all of it, reads with :func:`colt.store.journal.read_journal`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from colt import events
from colt.errors import IllegalEdit, InputError
from colt.events import Event
from colt.knobs import Edit, Jump, Transformation, Value
from colt.moves import Move, read_move
from colt.store.bounds import bounded
from colt.store.journal import RENAMED
from colt.util.files import open_file

MARK = 512
LONGEST_LINE = 1 << 20
"""Bytes of one event; a longer line is skipped."""
CHUNK = 1 << 22
"""Bytes that are read at a time."""
MOST_BYTES = 1 << 30
"""Bytes of a journal that are read, many times as many as the longest runs write: a file that is all holes may have any
number."""


class JournalReader:
    """Reads a journal that may still be growing: each :meth:`read` gives what is new since the last.

    ``only``: the kinds of events to give. Lines of others are passed over, many times faster than they are read, and
    nothing is counted.
    """

    def __init__(self, path: Path, only: Collection[type[Event]] = ()) -> None:
        self.path = path
        self.at_end = False
        """Whether the last :meth:`read` got to the end of what was written."""
        self.lines = 0
        """Whole lines so far."""
        self.skipped = 0
        """Those of them that are no event of this version."""
        self.first_skipped: int | None = None
        """The number of the first such line."""
        self._only = _lines_of(only) if only else None
        self._offset = 0
        self._mark = b""
        """The bytes before ``_offset``: they tell whether the journal is still the one that was read."""
        self._passing = False
        """Whether the rest of a line that is too long is being passed over."""

    @property
    def torn(self) -> int:
        """Bytes after the last whole line: an event that is being written, or was when the run died."""
        return self.unread if self.at_end else 0

    @property
    def unread(self) -> int:
        """Bytes that have not been read, and will be."""
        return max(0, min(self._size, MOST_BYTES) - self._offset)

    @property
    def left_out(self) -> int:
        """Bytes beyond those that are read at most."""
        return max(0, self._size - MOST_BYTES)

    @property
    def _size(self) -> int:
        try:
            return self.path.lstat().st_size
        except OSError:
            return 0

    def is_another(self) -> bool:
        """Whether what was read is no longer there: a resumed run replaces the end of its journal."""
        try:
            with open_file(self.path, links=False) as file:
                file.seek(self._offset - len(self._mark))
                return file.read(len(self._mark)) != self._mark
        except OSError:
            return bool(self._mark)

    def read(self, most: float = math.inf) -> Iterator[tuple[float, Event]]:
        """The new events, each with the seconds since the journal was opened; ends after about ``most`` bytes.

        Raises :class:`InputError` if the journal cannot be read.
        """
        begin, self.at_end = self._offset, False
        try:
            with open_file(self.path, links=False) as file:
                file.seek(self._offset)
                while self._offset - begin < most and (lines := self._next_lines(file)):
                    self._mark = lines[-MARK:] if not self._passing else b""
                    yield from self._events(lines)
                    file.seek(self._offset)
                self.at_end = self._offset - begin < most or self._offset >= MOST_BYTES
        except FileNotFoundError:
            raise InputError(f"{self.path} is no journal: it is missing") from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _events(self, lines: bytes) -> Iterator[tuple[float, Event]]:
        if self._only is not None:
            yield from filter(None, map(event_of, self._only.findall(b"\n" + lines)))
            return
        for line in lines.split(b"\n")[:-1]:
            self.lines += 1
            if (found := event_of(line)) is not None:
                yield found
            else:
                self.skipped += 1
                self.first_skipped = self.first_skipped or self.lines

    def _next_lines(self, file: BinaryIO) -> bytes:
        return self._whole_lines(file.read(CHUNK)) if self._offset < MOST_BYTES else b""

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


def _lines_of(kinds: Collection[type[Event]]) -> re.Pattern[bytes]:
    """What finds lines ``{"t":0.1,"event":"KIND",...`` of these kinds, each with the end of the line before."""
    names = b"|".join(kind.__name__.lower().encode() for kind in kinds)
    return re.compile(rb'\n(\{"t":[^,\n]*,"event":"(?:%s)"[^\n]*)' % names)


def event_of(line: bytes) -> tuple[float, Event] | None:
    """The event of a journal's line and its time; ``None`` if it is none of this version's."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        read = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        read = _earlier(line)
    try:
        return None if read is None else (read.t, _MAKERS[type(read)](read))
    except IllegalEdit:
        return None


def _earlier(line: bytes) -> Any:
    """A line in which fields have the names of earlier versions."""
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        return msgspec.convert({RENAMED.get(key, key): value for key, value in record.items()}, _LINE)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return None


class _Step(msgspec.Struct, frozen=True):
    """An edit, a jump or a move as :func:`colt.events.to_record` writes it."""

    knob: str | None = None
    value: Value | None = None
    jump: tuple[str, str] | None = None
    move: str | None = None


_Steps = tuple[_Step, ...]
_WRITTEN: dict[Any, Any] = {Transformation: _Steps, tuple[Transformation, ...]: tuple[_Steps, ...]}
"""How fields of events that msgspec cannot read as they are, since edits, jumps and moves have no tag, are written."""


def _struct_of(kind: type[Event]) -> type[msgspec.Struct]:
    """What a line of that event holds."""
    hints = typing.get_type_hints(kind)
    fields: list[Any] = [("t", bounded("t", float))]
    for spec in dataclasses.fields(kind):
        written = _WRITTEN.get(hints[spec.name]) or bounded(spec.name, hints[spec.name])
        plain = (spec.name, written)
        fields.append(plain if spec.default is dataclasses.MISSING else (*plain, spec.default))
    return msgspec.defstruct(kind.__name__, fields, tag_field="event", tag=kind.__name__.lower(), frozen=True)


def _transformation(steps: _Steps) -> Transformation:
    return tuple(map(_step, steps))


def _step(one: _Step) -> Edit | Jump | Move:
    if one.move is not None:
        return read_move(one.move)
    return Jump(*one.jump) if one.jump is not None else Edit(one.knob or "", one.value)


_FROM_WRITTEN: dict[Any, Callable[[Any], Any]] = {
    Transformation: _transformation,
    tuple[Transformation, ...]: lambda alternatives: tuple(_transformation(steps) for steps in alternatives),
}


def _maker_of(kind: type[Event]) -> Callable[[Any], Event]:
    """What makes the event of a line that was read. Which fields need more than passing on is looked up once, not for
    each of the hundreds of thousands of lines of a long run."""
    hints, make_event = typing.get_type_hints(kind), typing.cast(Callable[..., Event], kind)
    names = [spec.name for spec in dataclasses.fields(kind)]
    fields: Callable[[Any], Any] = operator.attrgetter(*names)
    written = [(place, _FROM_WRITTEN[hints[name]]) for place, name in enumerate(names) if hints[name] in _WRITTEN]
    if len(names) == 1:
        return lambda read: make_event(fields(read))
    if not written:
        return lambda read: make_event(*fields(read))

    def make(read: Any) -> Event:
        values = [*fields(read)]
        for place, convert in written:
            values[place] = convert(values[place])
        return make_event(*values)

    return make


_EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
_MAKERS: dict[type[msgspec.Struct], Callable[[Any], Event]] = {
    _struct_of(kind): _maker_of(kind) for kind in _EVENTS if kind is not Event
}
_LINE: Any = functools.reduce(operator.or_, _MAKERS)
_DECODER = msgspec.json.Decoder(_LINE)
