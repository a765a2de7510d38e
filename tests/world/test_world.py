"""The door of a run: what is taken live and written down is taken again from the recording, at the same questions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.errors import InputError, ReplayError
from colt.machine import Hardware, Peaks
from colt.machine.cpuinfo import Cache, Simd
from colt.measure.base import Fate
from colt.world.answers import (
    AnyAnswer,
    ExportedAnswer,
    Looked,
    MeasuredAnswer,
    Remarks,
    Spent,
    Stop,
    TimedInTurn,
    Totals,
    VerifiedAnswer,
)
from colt.world.recording import SCHEMA, read_recording
from colt.world.world import Live, Recorded, Recorder, World

TOTALS = Totals(building=1.5, timing=0.25, probes=3, disturbed=1, worst_slowdown=1.2, waiting=0.5)
MACHINE = Hardware("cpu", "id", "x86_64", 2, Simd("AVX2", 256, 16), Cache(2**15, 1), Cache(2**20, 1), None, 2**33)
END = Spent(total=9.0, activities={"measuring": 4.5}, proposers={"scout": 0.1})
TIMED = MeasuredAnswer(
    fate=Fate.OK,
    latency_us=12.5,
    runs_us=(12.5, 12.75),
    seconds_building=0.1,
    seconds_timing=0.2,
    message="",
    slowdown=1.0,
    disturbed=False,
    seconds_waiting=0.0,
    predicted_build_seconds=None,
    totals=TOTALS,
)
ONE_OF_EACH: list[AnyAnswer] = [
    Looked(hardware=MACHINE, notes=("assumed",)),
    TIMED,
    VerifiedAnswer(ok=False, max_abs_error=None, max_rel_error=0.1, tolerance=1e-4, message="differs", totals=TOTALS),
    TimedInTurn(latencies_us=((1.0, 2.0), (3.0, 4.0)), totals=TOTALS, host="b"),
    ExportedAnswer(error="no compiler", totals=TOTALS),
    Remarks(texts=("the board was busy",)),
    Stop(reason="interrupted"),
]
QUIET = {Remarks: Remarks(), Stop: Stop()}

Questions = list[tuple[str, AnyAnswer]]


def take_all(outside: World, questions: Questions) -> list[AnyAnswer]:
    """Ask these and, last of all, for the time; live answers are those of the list."""
    asked = [*questions, ("time spent", END)]
    return [outside.take(text, type(a), lambda a=a: a, quiet=QUIET.get(type(a))) for text, a in asked]


def recorded(questions: Questions, path: Path) -> Recorded:
    with Recorder(Live()) as recorder:
        half = len(questions) // 2
        for text, answer in questions[:half]:
            recorder.take(text, type(answer), lambda answer=answer: answer, quiet=QUIET.get(type(answer)))
        recorder.open(path)  # a run has answers before it has a directory
        take_all(recorder, questions[half:])
    return Recorded(read_recording(path))


def silent() -> AnyAnswer:
    raise AssertionError("a replay asks nobody")


answers = st.sampled_from([*ONE_OF_EACH, Remarks(), Stop(), Stop()])
some_questions = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), answers), max_size=12)


@given(questions=some_questions)
def test_a_replay_takes_what_the_run_took(questions: Questions, tmp_path_factory: pytest.TempPathFactory) -> None:
    replay = recorded(questions, tmp_path_factory.mktemp("run") / "recording")
    asked = [*questions, ("time spent", END)]
    again = [replay.take(text, type(a), silent, quiet=QUIET.get(type(a))) for text, a in asked]
    assert again == [answer for _, answer in asked]


@given(questions=some_questions)
def test_the_recording_of_a_replay_is_that_of_the_run(
    questions: Questions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    replay = recorded(questions, folder / "first")
    with Recorder(replay) as recorder:
        recorder.open(folder / "second")
        take_all(recorder, questions)
    assert (folder / "second").read_bytes() == (folder / "first").read_bytes()


@given(questions=some_questions, at=st.integers(0, 12), other=st.sampled_from(["one", "two", "three"]))
def test_another_question_is_noticed(
    questions: Questions, at: int, other: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Unless the answer was quiet: those are not written down."""
    replay = recorded(questions, tmp_path_factory.mktemp("run") / "recording")
    changed = [(other if number == at else text, answer) for number, (text, answer) in enumerate(questions)]
    noticed = changed != questions and questions[at][1] not in QUIET.values()
    if not noticed:
        take_all(replay, changed)
        return
    with pytest.raises(ReplayError, match=f"question {at + 1} is '{other}'; in line .* it is '{questions[at][0]}'"):
        take_all(replay, changed)


def test_a_question_too_many_is_noticed(tmp_path: Path) -> None:
    replay = recorded([("one", TIMED)], tmp_path / "recording")
    take_all(replay, [("one", TIMED)])
    assert replay.take("stop", Stop, silent, quiet=Stop()) == Stop()
    with pytest.raises(ReplayError, match="question 4 is 'two', which the recording has no answer to"):
        replay.take("two", MeasuredAnswer, silent)


def test_a_question_of_another_kind_is_noticed(tmp_path: Path) -> None:
    replay = recorded([("one", TIMED)], tmp_path / "recording")
    with pytest.raises(ReplayError, match="question 1"):
        replay.take("one", VerifiedAnswer, silent)


def test_a_replay_acts_on_nothing(tmp_path: Path) -> None:
    replay = recorded([], tmp_path / "recording")
    assert replay.live(silent) is None
    assert Recorder(replay).live(silent) is None
    assert Recorder(Live()).live(lambda: 5) == 5


def test_an_answer_is_in_the_file_as_soon_as_it_is_there(tmp_path: Path) -> None:
    with Recorder(Live()) as recorder:
        recorder.open(tmp_path / "recording")
        for number in range(2, 5):
            recorder.take("one", MeasuredAnswer, lambda: TIMED)
            assert len((tmp_path / "recording").read_text().splitlines()) == number


# ---- reading what may be damaged ----


@pytest.fixture
def whole(tmp_path: Path) -> list[bytes]:
    """The lines of a recording, without their ends."""
    recorded([(f"question {number}", answer) for number, answer in enumerate(ONE_OF_EACH)], tmp_path / "recording")
    return (tmp_path / "recording").read_bytes().splitlines()


def read(lines: list[bytes], folder: Path, end: bytes = b"\n") -> list[AnyAnswer]:
    path = folder / "damaged"
    path.write_bytes(b"\n".join(lines) + end)
    return [line.answer for line in read_recording(path).lines]


def test_an_undamaged_recording_is_read(whole: list[bytes], tmp_path: Path) -> None:
    assert read(whole, tmp_path) == [*ONE_OF_EACH, END]


@pytest.mark.parametrize("kept", range(1, 9))
def test_a_recording_cut_short_is_refused(kept: int, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cut short after line"):
        read(whole[:kept], tmp_path)
    with pytest.raises(InputError, match=f"cut short after line {kept}|line {kept + 1}, is damaged"):
        read([*whole[:kept], whole[kept][:-5]], tmp_path, end=b"")


def test_a_line_begun_after_the_last_is_noticed(whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cut short after line 9"):
        read([*whole, b'{"line"'], tmp_path, end=b"")


def test_an_empty_file_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1, is not the head"):
        read([b""], tmp_path)


@pytest.mark.parametrize("lost", range(1, 8))
def test_a_line_that_is_missing_is_noticed(lost: int, whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"line {lost + 1}, is not where it was written"):
        read([*whole[:lost], *whole[lost + 1 :]], tmp_path)


def test_a_line_that_is_there_twice_is_noticed(whole: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 4, is not where it was written"):
        read([*whole[:3], *whole[2:]], tmp_path)


@pytest.mark.parametrize(
    ("number", "old", "new"),
    [
        (1, f'"schema":{SCHEMA}', f'"schema":{SCHEMA + 1}'),
        (1, f'"schema":{SCHEMA}', '"schema":0'),
        (1, '"schema"', '"scheme"'),
        (2, '"vector_bits":256', '"vector_bits":0'),
        (2, '"bytes":32768', '"bytes":"32768"'),
        (2, '"cores":2', '"cores":-2'),
        (3, '"latency_us":12.5', '"latency_us":-12.5'),
        (3, '"latency_us":12.5', '"latency_us":null'),
        (3, '"latency_us":12.5', '"latency_us":NaN'),
        (3, '"latency_us":12.5', '"latency_us":1e999'),
        (3, '"latency_us":12.5', '"latency_us":true'),
        (3, '"fate":"ok"', '"fate":"fine"'),
        (3, '"fate":"ok"', '"fate":"crash"'),
        (3, '"slowdown":1.0', '"slowdown":0.0'),
        (3, '"message":""', '"message":"","more":1'),
        (3, '"kind":"measured"', '"kind":"verified"'),
        (4, '"tolerance":0.0001', '"tolerance":-1'),
        (5, "[1.0,2.0]", "[1.0,0]"),
        (5, "[1.0,2.0]", "[1.0]"),
        (5, "[[1.0,2.0],[3.0,4.0]]", "[]"),
        (5, "[[1.0,2.0],[3.0,4.0]]", "[[],[]]"),
        (8, '"interrupted"', '"bored"'),
        (9, '"total":9.0', '"total":-9.0'),
    ],
)
def test_what_no_run_can_have_written_is_refused(
    number: int, old: str, new: str, whole: list[bytes], tmp_path: Path
) -> None:
    assert whole[number - 1].count(old.encode()) == 1
    whole[number - 1] = whole[number - 1].replace(old.encode(), new.encode())
    with pytest.raises(
        InputError, match=rf"schema (0|{SCHEMA + 1});|line 1, is not the head" if number == 1 else f"line {number}, "
    ):
        read(whole, tmp_path)


@given(data=st.data())
def test_no_damage_raises_anything_else(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    recorded([("question", answer) for answer in ONE_OF_EACH], folder / "recording")
    content = bytearray((folder / "recording").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    (folder / "recording").write_bytes(content)
    try:
        lines = read_recording(folder / "recording").lines
    except InputError:
        return
    assert isinstance(lines[-1].answer, Spent)


def test_peaks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Looked(hardware=Hardware("", "", "", 1, Simd("", 128, 1), Cache(1, 1), Cache(1, 1), None, 0, peaks=Peaks(-1.0)))
