"""The recording of a run: every answer that it got from outside, one JSON object a line, in the order of asking.

The first line holds the version of the format, and whose answers these are. Every other one has its own number, the
number of the question (those to which the answer is nothing new are left out), what was asked, and the answer. An
answer that cost money or machine time is on the disk before the run goes on. A recording is read as data from
strangers: types and ranges are checked, and nothing in it is ever evaluated.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from colt.errors import InputError
from colt.knobs import EDITION
from colt.proposers.language.calls import Charge
from colt.util.files import LineFile, read_file
from colt.util.text import why
from colt.world.answers import Allowance, AnyAnswer, Clock, Returned, SetAside, Spent, Stop

SCHEMA = 6
"""1: texts for people and for language models were worded differently. 2: it did not say whose answers they are, nor
what was set aside for requests under way. 3: the journal named no knobs. 4 and 5: prompts told less."""
SAME_WORDS = 6
"""Since this version texts are worded as they are now."""
GOES_ON = 3
"""Since this version a recording has all that it takes to go on with its run."""
TELLS_EDITION = 3
"""Since this version a recording tells the edition of its design space; before, there was only the first."""
NAMES_KNOBS = 4
"""Since this version the journal names the knobs of sketches."""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line: what the answers belong to. A run goes on only with the same."""

    schema: int = SCHEMA
    program: str = ""
    """The fingerprint of the untuned program."""
    target: str = ""
    allowance: Allowance | None = None
    """What the run began with; it may have been changed since, as answers say."""
    versions: dict[str, str] = {}
    edition: Annotated[int, msgspec.Meta(ge=1, le=EDITION)] = 1
    """The edition of the design space. A header that tells none was written when there was only the first."""
    names_knobs: bool = True
    """Whether the journal names the knobs of sketches: that of a replay does if the run's does."""


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer."""

    line: int
    question: int
    asked: str
    answer: AnyAnswer


@dataclass(frozen=True, slots=True)
class Recording:
    """The answers of a run, in the order of asking."""

    schema: int
    lines: tuple[Line, ...]
    header: Header = field(default_factory=Header)
    set_aside: Mapping[int, Charge] = field(default_factory=dict)
    """What the calls that never came back cost at worst, by ticket; those that never left are not there."""
    written: int = 1
    """Lines of the file, as far as it is whole."""
    size: int = 0
    """Bytes of these."""
    torn: bool = False
    """Whether more follows, which is not a whole line."""

    @property
    def edition(self) -> int:
        """The edition of the design space."""
        return self.header.edition if self.schema >= TELLS_EDITION else 1

    @property
    def names_knobs(self) -> bool:
        """Whether the run's journal names the knobs of sketches."""
        return self.schema >= NAMES_KNOBS and self.header.names_knobs

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its last answer says where the time went."""
        return bool(self.lines) and isinstance(self.lines[-1].answer, Spent)

    @property
    def questions(self) -> int:
        """The number of the last question."""
        return self.lines[-1].question if self.lines else 0

    @property
    def allowance(self) -> Allowance | None:
        """What the run may take at last; ``None`` if the recording does not say."""
        changes = (line.answer.went_on for line in reversed(self.lines) if isinstance(line.answer, Stop))
        return next((change for change in changes if change is not None), self.header.allowance)

    @property
    def clock(self) -> Clock | None:
        """Where the wall time had gone when the last answer came that says so."""
        for line in reversed(self.lines):
            if isinstance(line.answer, Spent):
                return Clock(total=line.answer.total, activities=line.answer.activities)
            clock = getattr(getattr(line.answer, "totals", None), "clock", None)
            if isinstance(clock, Clock):
                return clock
        return None


class RecordingWriter:
    """Writes answers as they come: into memory until there is a file, then each at once. For any thread.

    A write that fails raises nothing, since answers come in the middle of other work: ``failure`` has the error, which
    names the file, and nothing more is written.
    """

    def __init__(self, header: Header | None = None) -> None:
        self.failure: OSError | None = None
        self._header = header or Header()
        self._early: list[tuple[int, str, AnyAnswer]] = []
        self._file: LineFile | None = None
        self._count = 1
        self._question = 0
        self._lock = threading.Lock()

    def write(self, question: int, asked: str, answer: AnyAnswer) -> None:
        """Append an answer."""
        with self._lock:
            self._question = question
            if self._file is None:
                self._early.append((question, asked, answer))
            else:
                self._put(self._file, (question, asked, answer))

    def set_aside(self, ticket: int, charge: Charge) -> None:
        """Append what a call costs at worst. Raises :class:`OSError` if that can't be written: then it is not made."""
        with self._lock:
            if self._file is not None:
                self._put(self._file, (self._question, "set aside", SetAside(ticket=ticket, charge=charge)))
            if self.failure is not None:
                raise self.failure

    def open(self, path: Path, after: Recording | None = None) -> None:
        """Write what there is, and from now on everything at once, into a new file; or ``after`` what is in one.

        To be called once. Raises :class:`OSError` if the file can't be made or opened.
        """
        with self._lock:
            self._file = LineFile(path, keep=None if after is None else after.size)
            if after is None:
                self._file.write(msgspec.json.encode(self._header))
            else:
                self._count = after.written
                self._question = max(self._question, after.questions)
            self._put(self._file, *self._early)
            self._early.clear()

    def stop(self, why: OSError) -> None:
        """Write nothing more: something else of the run is not there any more."""
        with self._lock:
            self.failure = self.failure or why

    def close(self) -> None:
        """End the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _put(self, file: LineFile, *answers: tuple[int, str, AnyAnswer]) -> None:
        if self.failure is not None:
            return
        try:
            for question, asked, answer in answers:
                self._count += 1
                file.write(msgspec.json.encode(Line(line=self._count, question=question, asked=asked, answer=answer)))
            if all(not answer.dear for _, _, answer in answers):
                file.flush()
            else:
                file.sync()
        except OSError as error:
            self.failure = error


def read_recording(path: Path, *, unfinished: bool = False) -> Recording:
    """All answers of a run; with ``unfinished`` also of one that broke off, less a last line that is torn.

    Raises
    ------
    InputError
        There is no such file, it is damaged or cut short (the message names the line), or it is of another version.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise InputError(f"{path.parent} holds no recording: there is no {path.name}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    rows = content.split(b"\n")
    header = _read_header(path, rows[0])
    lines = _read_lines(path, rows[1:-1])
    answers = tuple(line for line in lines if not isinstance(line.answer, SetAside))
    recording = Recording(
        header.schema,
        answers,
        header,
        _lost(lines),
        written=len(lines) + 1,
        size=len(content) - len(rows[-1]),
        torn=bool(rows[-1]),
    )
    if not unfinished and (recording.torn or not recording.finished):
        raise InputError(f"{path} is cut short after line {len(lines) + 1}: it does not end as that of a finished run")
    return recording


def _read_header(path: Path, row: bytes) -> Header:
    try:
        schema = msgspec.json.decode(row, type=_Schema).schema
        if not 1 <= schema <= SCHEMA:
            raise InputError(f"{path} has schema {schema}; this version of COLT reads 1 to {SCHEMA}")
        return msgspec.json.decode(row, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}, line 1, is not the head of a recording: {why(error)}") from None


class _Schema(msgspec.Struct):
    """What the first line has in every version."""

    schema: int


def _read_lines(path: Path, rows: list[bytes]) -> list[Line]:
    decoder = msgspec.json.Decoder(Line)
    lines: list[Line] = []
    before = 0
    for number, row in enumerate(rows, 2):
        try:
            line = decoder.decode(row)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}, is damaged: {why(error)}") from None
        beside = isinstance(line.answer, SetAside)
        if line.line != number or line.question < before + (not beside):
            raise InputError(f"{path}, line {number}, is not where it was written: lines before it are missing or new")
        before = line.question
        lines.append(line)
    return lines


def _lost(lines: list[Line]) -> dict[int, Charge]:
    """What was set aside last for each call that never came back."""
    found: dict[int, Charge] = {}
    for line in lines:
        if isinstance(line.answer, SetAside):
            found[line.answer.ticket] = line.answer.charge
        elif isinstance(line.answer, Returned):
            for call in line.answer.calls:
                found.pop(call.ticket, None)
    return found
