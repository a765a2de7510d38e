"""Prompts: stable bytes first, then the node in knobs and numbers."""

from __future__ import annotations

import dataclasses
import re

import pytest

from colt.knobs import Edit, Jump
from colt.moves import KINDS, ReverseComputeInline, SetScope, Tensorize, read_moves
from colt.proposers.language.moves import COPIED, EXAMPLE, OTHERS, SKETCHED, moves_text
from colt.proposers.language.node import TOLD, TRIED, node_text
from colt.proposers.language.prompt import MemberInWords, stable_text
from colt.proposers.language.reply import ReadReply, ReplyError
from colt.proposers.language.settle import settle, settled
from colt.search.toy import ToySpace
from colt.search.types import MemberSpec, NodeView, Observation, Proposal
from tests.helpers.toy_briefing import ToyBriefing, observation, observed

SPACE = ToySpace()
BRIEFING = ToyBriefing(SPACE)
POOL = [MemberInWords(MemberSpec("large", 600.0), 1.75, 14.0), MemberInWords(MemberSpec("small", 8.0), 0.0, 0.0)]
ADDRESS_OR_KEY = re.compile(r"0x[0-9a-f]{6}|\bsk-|Bearer|api.?key|\d{4}-\d{2}-\d{2}", re.IGNORECASE)


def at(name: str) -> Observation:
    return observation(SPACE, name)


def text(seen: Observation, told: tuple[str, ...] = ()) -> str:
    return node_text(seen, BRIEFING, told)


# ---- the part that is the same in every call ----


def test_the_stable_text_has_all_that_does_not_change() -> None:
    found = stable_text(BRIEFING, POOL)
    for part in (BRIEFING.machine, BRIEFING.program, BRIEFING.sketches):
        assert part in found
    assert "large: 600B, $1.75 in, $14 out\n" in found
    assert "small: 8B, free\n" in found
    assert found.index("small: 8B") < found.index("large: 600B")


def test_a_price_may_be_unknown() -> None:
    assert "nano: 1B, price unknown" in stable_text(BRIEFING, [MemberInWords(MemberSpec("nano", 1.0))])


def test_a_built_in_expert_is_called_one() -> None:
    expert = MemberInWords(MemberSpec("tuner", 8.0), 0.0, 0.0, builtin=True)
    assert "tuner: built-in expert, ranked as 8B, free" in stable_text(BRIEFING, [expert, *POOL])


def test_the_stable_text_is_the_same_in_another_process() -> None:
    """Nothing in it comes from hashes, addresses or clocks: equal parts give equal bytes, in any order of the pool."""
    again = stable_text(ToyBriefing(ToySpace()), POOL[::-1])
    assert again == stable_text(BRIEFING, POOL)


def test_no_share_is_demanded_for_the_largest() -> None:
    found = stable_text(BRIEFING, POOL)
    assert "smallest that is likely" in " ".join(found.split())
    assert "%" not in found


@pytest.mark.parametrize("situation", observed(SPACE), ids=lambda situation: situation.name)
def test_a_prompt_holds_no_address_key_or_date_and_is_repeatable(situation: object) -> None:
    seen = situation.observation  # type: ignore[attr-defined]
    found = text(seen, ("knob C.i takes something else",))
    assert found == text(seen, ("knob C.i takes something else",))
    assert not ADDRESS_OR_KEY.search(stable_text(BRIEFING, POOL) + found)
    assert found.endswith("\n")
    assert "None" not in found
    assert "inf" not in found.split()


def test_the_worked_examples_and_their_list_show_the_moves_as_they_are_read() -> None:
    """Each is written as it is read, and none that is not rare is missing."""
    told = (*EXAMPLE, *COPIED, *SKETCHED)
    shown = [move for text, _ in (*told, *OTHERS) for move in read_moves(text)]
    assert {type(move) for move in shown} == set(KINDS) - {SetScope, ReverseComputeInline, Tensorize}
    lines = moves_text().partition("vectors\n")[2].splitlines()[:-1]
    remark = next(number for number, line in enumerate(lines) if line.endswith(":"))
    written = "\n".join([*lines[:remark], *lines[remark + 1 :]])
    assert read_moves(written) == tuple(move for text, _ in told for move in read_moves(text))


def test_sketches_are_moves_only_where_there_are_any_to_apply() -> None:
    briefing = ToyBriefing(SPACE)
    assert "sketch(" not in stable_text(briefing, POOL, moves=True)
    briefing.applies_sketches = True
    assert "sketch(" in stable_text(briefing, POOL, moves=True)


def test_what_is_said_of_locations_is_told_where_sketches_have_such_knobs() -> None:
    briefing = ToyBriefing(SPACE)
    assert ".at" not in stable_text(briefing, POOL)
    briefing.sketches += "\nKnobs: pad.at in C"
    assert "`B.at`: B is computed at root" in stable_text(briefing, POOL)


# ---- the node ----


def test_a_node_is_its_knobs_and_what_came_before_as_differences() -> None:
    seen = at("with a history")
    lines = text(seen).splitlines()
    names = [knob.name for knob in seen.knobs]
    present = dict(zip(names, seen.node.schedule.values, strict=True))
    assert lines[2] == " ".join(f"{n}={_shown(v)}" for n, v in present.items())
    for word, view in zip(("parent", "grandparent"), seen.ancestors, strict=True):
        line = next(line for line in lines if line.startswith(f"{word}: "))
        assert line.endswith(f", {view.by}")
        for name, value in zip(names, view.schedule.values, strict=True):
            assert (f"{name}={_shown(value)}" in line) == (value != present[name])
        assert f" -> {view.measured_us:.3g} ~" in line


def _shown(value: object) -> str:
    return str(value).replace("(", "[").replace(")", "]").replace(" ", "")


def test_a_schedule_of_another_sketch_is_told_in_full() -> None:
    seen = at("with a history")
    other = next(s.observation.node for s in observed(SPACE) if s.name == "in sketch cached")
    found = text(dataclasses.replace(seen, best=(other,)))
    values = zip(SPACE.sketches[1].knobs, other.schedule.values, strict=True)
    wanted = " ".join(f"{knob.name}={_shown(value)}" for knob, value in values)
    assert f"- plain/cached (with a buffer) {wanted} -> " in found


def test_locations_are_told_with_those_that_are_legal_now() -> None:
    (line,) = [line for line in text(at("in sketch cached")).splitlines() if "pad.at=" in line and "(or" in line]
    assert re.search(r"pad\.at=(root|inline|i_0|j_0) \(or (\w+, ){2}\w+\)$", line)


def test_what_was_tried_says_how_it_went() -> None:
    seen = at("everything tried has crashed")
    assert text(seen).count("failed to build or run, middle") == len(seen.tried) > 0
    many = tuple(_child(seen, n) for n in range(TRIED + 3))
    found = text(dataclasses.replace(seen, tried=many[::-1]))
    assert f"the best {TRIED} of {TRIED + 3}:" in found
    assert [float(us) for us in re.findall(r"-> ~(\d+)", found)] == [100.0 + n for n in range(TRIED)]


def _child(seen: Observation, number: int) -> NodeView:
    return dataclasses.replace(seen.node, id=900 + number, predicted_us=100.0 + number, measured_us=None)


def test_better_and_worse_are_of_one_kind_of_figure() -> None:
    """A measurement is not compared with a prediction."""
    seen = at("with a history")
    node = dataclasses.replace(seen.node, predicted_us=100.0, measured_us=300.0)
    child = dataclasses.replace(seen.tried[0], predicted_us=150.0, measured_us=None)
    assert "~150 (worse)" in text(dataclasses.replace(seen, node=node, tried=(child,)))
    blank = dataclasses.replace(child, predicted_us=None)
    assert "not timed, " in text(dataclasses.replace(seen, node=node, tried=(blank,)))


def test_the_first_call_asks_for_whole_schedules() -> None:
    found = text(at("several openings wanted"))
    assert "the untuned program" in found
    assert "Give 6 different proposals" in found
    assert "a value for every knob" in found


def test_a_course_alteration_shows_what_failed() -> None:
    seen = at("a course alteration")
    assert seen.failed is not None
    last = text(seen).splitlines()[-1]
    assert last.startswith(f"{seen.failed.by} proposed ")
    assert "You are middle. Give one better proposal" in last
    assert f"~{seen.failed.child.predicted_us:.3g}" in last
    assert text(seen).count(f", {seen.failed.by}") == 0, "it is told once, not among what was tried too"


def test_complaints_about_the_last_answer_are_told() -> None:
    messages = tuple(f"knob k{n} takes something else" for n in range(TOLD + 2))
    found = text(at("with a history"), messages)
    assert [line[2:] for line in found.splitlines() if line.startswith("- knob")] == list(messages[:TOLD])
    assert "last answer" not in text(at("with a history"))


def test_members_without_calls_are_not_told_of() -> None:
    seen = at("with a history")
    fresh = tuple(dataclasses.replace(model, calls=0, alterations=0) for model in seen.members)
    assert "Members: " in text(seen)
    assert "Members: " not in text(dataclasses.replace(seen, members=fresh))


# ---- locations, settled with the tiles in place ----


def test_an_illegal_location_is_dropped_by_itself() -> None:
    steps = (Jump("plain", "cached"), Edit("C.i", (1, 8, 1, 8)), Edit("pad.at", "k_0"))
    kept, messages = settle(SPACE, SPACE.untuned, steps, {"pad.at"})
    assert kept == steps[:2]
    assert "pad.at takes one of" in messages[0]


@pytest.mark.parametrize("steps", [(Edit("C.i", (1, 8, 1, 7)),), (Edit("nothing", 1), Edit("pad.at", "k_0"))])
def test_what_is_illegal_otherwise_is_left_for_the_search(steps: tuple[Edit, ...]) -> None:
    start = next(s.observation.node.schedule for s in observed(SPACE) if s.name == "in sketch cached")
    assert settle(SPACE, start, steps, {"pad.at"}) == (steps, ())


def test_each_transformation_of_a_reply_is_settled() -> None:
    seen = at("in sketch cached")
    bad, good = (Edit("pad.at", "k_0"),), (Edit("C.i", (1, 8, 1, 8)), Edit("pad.at", "k_1"))
    reply = settled(ReadReply(Proposal((bad, good), "middle", "why"), ("first",), 1), seen, SPACE, BRIEFING)
    assert reply.proposal == Proposal((good[:1],), "middle", "why")
    assert reply.errors == 3
    assert [message.split()[0] for message in reply.dropped] == ["first", "knob", "knob"]
    with pytest.raises(ReplyError, match=r"pad\.at takes one of"):
        settled(ReadReply(Proposal((bad,), "middle"), (), 0), seen, SPACE, BRIEFING)


def test_what_is_legal_stays() -> None:
    steps = (Jump("plain", "cached"), Edit("pad.at", "j_0"), Edit("C.i", None))
    assert settle(SPACE, SPACE.untuned, steps, {"pad.at"}) == (steps, ())
