"""What won on other programs, and by how much: examples for language models.

Of each program records hold the winner and other fast schedules. The winner's structure is told with how much faster it
is than the fastest of another structure: what changed, and what that was worth there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from colt.moves import is_moved
from colt.records.record import Amount, Key, Name, SketchName, StoredRecord, Strict, Words

WORTH_TELLING = 1.05
"""A winner's latency was timed in turn with others, that of the rest only once: less of a gain says nothing."""
MOST_TOLD = 2
"""Programs of which models are told."""


class Won(Strict, frozen=True):
    """The structure that won on another program: ``words`` with the values of its knobs, how many times as long the
    fastest of another structure took there, and the sketch of that; ``None`` and "" if there was no other.
    """

    program: Name
    words: Words
    gain: Amount | None
    over: SketchName
    relative: bool
    """Whether that program differs in extents alone."""


def won_elsewhere(records: Sequence[StoredRecord], key: Key) -> list[Won]:
    """What to tell of other programs than that of ``key``: structures that moves made first, relatives before
    strangers, large gains before small ones. Records of other kinds of machines are left out."""
    programs: dict[str, list[StoredRecord]] = {}
    for record in records:
        same_kind = record.key.machine == key.machine and record.key.versions == key.versions
        if same_kind and record.words is not None and record.key.program.structure != key.program.structure:
            programs.setdefault(record.key.program.structure, []).append(record)
    found = [won for theirs in programs.values() for won in _won(sorted(theirs, key=lambda one: one.rank), key)]
    found.sort(key=lambda won: (not is_moved(won.words.sketch), not won.relative, -(won.gain or 0.0), won.program))
    different = {won.words.sketch: won for won in reversed(found)}
    return [won for won in found if different[won.words.sketch] is won][:MOST_TOLD]


def _won(records: Sequence[StoredRecord], key: Key) -> Iterator[Won]:
    """``records`` of one program, the best first."""
    best = records[0]
    assert best.words is not None
    others = [one for one in records[1:] if _structure(one) != _structure(best)]
    second = min(others, key=lambda one: one.latency_us, default=None)
    gain = None if second is None else second.latency_us / best.latency_us
    if gain is not None and gain < WORTH_TELLING:
        return
    if gain is None and not is_moved(best.words.sketch):
        return
    over = "" if second is None else "/".join(_structure(second))
    relative = best.key.program.family == key.program.family
    yield Won(program=best.name, words=best.words, gain=gain, over=over, relative=relative)


def _structure(record: StoredRecord) -> tuple[str, str]:
    assert record.words is not None
    return record.words.variant, record.words.sketch
