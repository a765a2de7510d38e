"""Reading replies: tolerant of form, strict edit by edit, and never anything but an answer or a ReplyError."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colt.errors import IllegalEdit
from colt.knobs import Edit, Jump, Schedule, Transformation
from colt.moves import LoopName, ParallelLoop, SplitLoop
from colt.proposers.language.reply import MAX_EDITS, MAX_MESSAGES, ReadReply, ReplyError, read_reply, schema
from colt.proposers.language.salvage import _MARKS, MAX_CHARACTERS, MAX_EFFORT
from colt.search.toy import ToySpace
from colt.search.types import Observation
from tests.helpers.toy_briefing import ToyBriefing, observation

SPACE = ToySpace()
BRIEFING = ToyBriefing(SPACE)
SEEN = observation(SPACE)
ROOT = observation(SPACE, "several openings wanted")
TILE = Edit("C.i", (1, 8, 1, 8))


def read(text: str, seen: Any = SEEN) -> ReadReply:
    return read_reply(text, seen, BRIEFING)


def reply(*proposals: object, next_model: object = "middle") -> str:
    return json.dumps({"proposals": list(proposals), "next_model": next_model})


def written(edits: str, **others: object) -> dict[str, object]:
    return {"why": "because", "sketch": None, "edits": edits, **others}


def one(*edits: object, sketch: object = None, why: object = "because") -> dict[str, object]:
    return {"why": why, "sketch": sketch, "edits": list(edits)}


def edit(knob: object, value: object) -> dict[str, object]:
    return {"knob": knob, "value": value}


GOOD = one(edit("C.i", [1, 8, 1, 8]))


# ---- the form that is asked for ----


def test_the_form_that_is_asked_for() -> None:
    found = read(reply(written("C.i=[1,8,1,8] unroll=64"), written("C.j=any"), next_model="middle"))
    assert found.proposal.transformations == ((TILE, Edit("unroll", 64)), (Edit("C.j", None),))
    assert (found.proposal.next_member, found.proposal.why) == ("middle", "because | because")
    assert (found.dropped, found.errors) == ((), 0)


def test_the_schema_is_strict_everywhere() -> None:
    def check(part: Any) -> int:
        objects = 0
        if isinstance(part, dict):
            if part.get("type") == "object":
                assert part["additionalProperties"] is False
                assert sorted(part["required"]) == sorted(part["properties"])
                objects = 1
            return objects + sum(check(value) for value in part.values())
        return sum(check(value) for value in part) if isinstance(part, list) else 0

    assert check(schema(["a", "b"])) == 2
    assert schema(["a", "b"])["properties"]["next_model"]["enum"] == ["a", "b"]
    assert schema(["a"])["properties"]["proposals"]["minItems"] == 1, "with none allowed, weak models give none"
    assert schema(["a"]) == json.loads(json.dumps(schema(["a"])))


def test_a_sketch_is_gone_to_with_values_and_without() -> None:
    found = read(reply(one(edit("pad.at", "inside i_0"), sketch="plain/cached"), one(sketch="Cached")))
    assert found.proposal.transformations == (
        (Jump("plain", "cached"), Edit("pad.at", "i_0")),
        (Jump("plain", "cached"),),
    )


def test_the_sketch_that_the_node_has_is_no_jump() -> None:
    assert read(reply(one(*GOOD["edits"], sketch="flat"))).proposal.transformations == ((TILE,),)  # type: ignore[misc]


def test_values_that_the_node_has_already_are_left_out() -> None:
    present = dict(zip(("C.i", "C.j", "unroll"), SEEN.node.schedule.values, strict=True))
    same = [edit(name, value) for name, value in present.items()]
    assert read(reply(one(edit("C.i", [1, 8, 1, 8]), *same[1:]))).proposal.transformations == ((TILE,),)
    with pytest.raises(ReplyError, match="changes nothing"):
        read(reply(one(*same)))


def test_first_schedules_name_a_sketch() -> None:
    found = read(reply(one(edit("C.i", [1, 8, 1, 8]), sketch="flat"), one(edit("C.i", [1, 8, 1, 8]))), ROOT)
    assert found.proposal.transformations == ((Jump("plain", "flat"), TILE),)
    assert "there is no knob 'C.i'" in found.dropped[0]


@pytest.mark.parametrize(
    "edits", ["C.i = [1, 8, 1, 8]; unroll=64", "C.i: [1 8 1 8], unroll: 64\n", "{'C.i': [1, 8, 1, 8], 'unroll': 64}"]
)
def test_edits_are_separated_by_whatever_separates_them(edits: str) -> None:
    assert read(reply(written(edits))).proposal.transformations == ((TILE, Edit("unroll", 64)),)


def test_what_is_no_edit_is_told_and_costs_the_others_nothing() -> None:
    found = read(reply(written("a larger tile: C.i=[1,8,1,8] with C.j=[1,1,1,8]")))
    assert found.proposal.transformations == ((TILE,),)
    assert found.errors == 2
    assert found.dropped[0] == "edits are written like B.i=[1,64,1,8] unroll=16, not 'a'"
    assert "the product is 8" in found.dropped[1]


def test_a_location_may_be_written_too() -> None:
    found = read(reply(written("pad.at=i_0 C.i=[1,8,1,8]", sketch="plain/cached")))
    assert found.proposal.transformations == ((Jump("plain", "cached"), Edit("pad.at", "i_0"), TILE),)


# ---- other forms ----

WHOLE = reply(GOOD, next_model="the-small-one")
FORMS: dict[str, tuple[str, Transformation]] = {
    "edits as objects": (WHOLE, (TILE,)),
    "fenced": (f"Here you are:\n```json\n{WHOLE}\n```\nGood luck!", (TILE,)),
    "prose with brackets": (f"C.i = [1,8,1,8] {{as I said}} [see above\n{WHOLE} ... [1, 2", (TILE,)),
    "reasoning": (f"<think>perhaps {reply(one(edit('unroll', 0)))} or not</think>\n{WHOLE}", (TILE,)),
    "all of it reasoning": (f"<think>{WHOLE}</think>", (TILE,)),
    "the last one counts": (f"First {reply(one(edit('unroll', 0)))}. No: {WHOLE}", (TILE,)),
    "trailing commas": (WHOLE.replace("]", ",]").replace("8,]", "8]").replace("}", ",}"), (TILE,)),
    "a Python literal": (WHOLE.replace('"', "'").replace("null", "None"), (TILE,)),
    "wrapped": (json.dumps({"answer": json.loads(WHOLE)}), (TILE,)),
    "a single proposal": (json.dumps({**GOOD, "next_model": "the-small-one"}), (TILE,)),
    "a bare list": (json.dumps([{**GOOD, "next_model": "the-small-one"}]), (TILE,)),
    "values by name": (reply({"edits": {"C.i": [1, 8, 1, 8]}}, next_model="the-small-one"), (TILE,)),
    "control characters in texts": (WHOLE.replace("because", "be\n\x01cause"), (TILE,)),
    "numbers as texts": (
        reply(one(edit("C.i", ["1", "8", "1", "8"]), edit("unroll", "64")), next_model="The-Small-One "),
        (TILE, Edit("unroll", 64)),
    ),
    "a tile as text": (reply(one(edit("C.i", "[1, 8, 1, 8]")), next_model="the-small-one"), (TILE,)),
    "whole floats": (reply(one(edit("c.i", [1.0, 8.0, 1.0, 8.0])), next_model="the-small-one"), (TILE,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_are_understood(form: str) -> None:
    text, wanted = FORMS[form]
    found = read(text)
    assert found.proposal.transformations == (wanted,)
    assert found.proposal.next_member == "the-small-one"
    assert found.errors == 0


def test_schedules_as_lists_of_values() -> None:
    """As capable models gave them in the trial that the prompt comes from."""
    text = """[
    {"sketch": "cached", "knobs": [[1,8,1,8], [1,2,1,32], 64, "root"], "why": "8x32 register tile"},
    {"sketch": "flat", "knobs": [[1,16,1,4], [2,1,1,32], 512], "why": "no buffer"}
    ]"""
    found = read(text, ROOT).proposal
    assert found.transformations == (
        (
            Jump("plain", "cached"),
            TILE,
            Edit("C.j", (1, 2, 1, 32)),
            Edit("unroll", 64),
            Edit("pad.at", "root"),
        ),
        (Jump("plain", "flat"), Edit("C.i", (1, 16, 1, 4)), Edit("C.j", (2, 1, 1, 32)), Edit("unroll", 512)),
    )
    assert found.next_member == ""


def test_of_a_torn_reply_the_whole_proposals_are_kept() -> None:
    text = reply(GOOD, one(edit("unroll", 64)))
    torn = text[: text.index('"unroll"') + 12]
    assert read(torn).proposal.transformations == ((TILE,),)


def test_of_a_long_reply_the_end_is_read() -> None:
    assert read("so " * 700_000 + WHOLE).proposal.transformations == ((TILE,),)


# ---- edit by edit ----

BAD: dict[str, tuple[dict[str, object], str]] = {
    "a wrong product": (edit("C.j", [1, 1, 1, 8]), "the product is 8"),
    "a zero": (edit("C.j", [0, 1, 1, 64]), "out of range"),
    "too few parts": (edit("C.j", [64]), "it has 1 parts"),
    "a truth value": (edit("C.j", [True, 1, 1, 64]), "not an integer"),
    "a fraction": (edit("C.j", [0.5, 2, 1, 64]), "not an integer"),
    "a huge number": (edit("C.j", [10**4000, 1, 1, 1]), "out of range"),
    "a nested list": (edit("C.j", [[1, 1, 1, 64]]), "not an integer"),
    "no candidate": (edit("unroll", 3), "one of [0, 16, 64, 512]"),
    "infinity": (edit("unroll", float("inf")), "one of [0, 16, 64, 512]"),
    "code": (edit("unroll", "__import__('os').system('true')"), "one of [0, 16, 64, 512]"),
    "no such knob": (edit("C.jj", [1, 1, 1, 64]), "there is no knob 'C.jj' in that sketch; similar ones: C.j"),
    "a knob without name": (edit(None, 3), "`knob` takes the name of a knob, not null"),
    "the same knob again": (edit("C.i", [1, 1, 1, 64]), "edited twice"),
    "no edit": ({"set": "C.i"}, "an object with `knob` and `value`"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_edit_is_dropped_and_the_good_one_kept(case: str) -> None:
    bad, message = BAD[case]
    found = read(reply(one(edit("C.i", [1, 8, 1, 8]), bad)))
    assert found.proposal.transformations == ((TILE,),)
    assert found.errors == 1
    assert message in found.dropped[0]


@pytest.mark.parametrize("value", [0, -1, ["root"], "", "a" * 90, "i\x00", "\ud800"])
def test_a_location_is_named_by_a_loop(value: object) -> None:
    text = reply(one(edit("unroll", 0), edit("pad.at", value), sketch="cached"))
    if value == "":
        assert Edit("pad.at", None) in read(text).proposal.transformations[0]
    else:
        assert "takes root, inline or the name of a loop" in read(text).dropped[0]


def test_locations_need_not_be_legal_now() -> None:
    """They are resolved by the space, when the tiles are set."""
    found = read(reply(one(edit("pad.at", "ax0#2"), sketch="cached")))
    assert Edit("pad.at", "ax0#2") in found.proposal.transformations[0]


def test_a_proposal_for_an_unknown_sketch_is_dropped_whole() -> None:
    found = read(reply(one(edit("C.i", [1, 8, 1, 8]), sketch="chached"), GOOD))
    assert found.proposal.transformations == ((TILE,),)
    assert found.dropped == (
        "proposal 1: there is no sketch 'chached'; similar ones: plain/cached, plain/flat",
    ) or found.dropped == ("proposal 1: there is no sketch 'chached'; similar ones: plain/cached",)


def test_no_more_proposals_than_wanted_and_none_twice() -> None:
    values = ([1, 8, 1, 8], [1, 1, 8, 8], [1, 1, 4, 16], [1, 2, 2, 16], [2, 1, 2, 16], [4, 1, 1, 16])
    found = read(reply(GOOD, *(one(edit("C.i", value)) for value in values)))
    assert SEEN.proposals_wanted == 4
    assert len(set(found.proposal.transformations)) == len(found.proposal.transformations) == 4


def test_an_unknown_next_model_is_for_the_search_to_count() -> None:
    assert read(reply(GOOD, next_model="gpt\n17")).proposal.next_member == "gpt 17"
    assert read(reply(GOOD, next_model=["middle"])).proposal.next_member == ""


def test_complaints_are_bounded() -> None:
    found = read(reply(one(edit("C.i", [1, 8, 1, 8]), *[edit(f"knob {n}" * 15, n) for n in range(3 * MAX_EDITS)])))
    assert found.errors == MAX_EDITS  # those that are read, one good and one complaint for the others
    assert len(found.dropped) == MAX_MESSAGES
    assert max(map(len, found.dropped)) <= 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("I would rather not.", "no JSON object"),
        ("[1, 2, 3]", "no JSON object"),
        ('{"proposals": []}', "no JSON object"),
        ('{"proposals": "none"}', "no JSON object"),
        (reply(one(edit("C.i", 1))), "takes 4 integers"),
        (reply(one()), "changes nothing"),
        (reply(one(sketch=7)), "takes null or a name such as 'plain/flat'"),
    ],
)
def test_what_is_unusable_says_why(text: str, message: str) -> None:
    with pytest.raises(ReplyError, match=message):
        read(text)


# ---- whatever it is ----

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["C.i", "root"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["knob", "value", "edits"]), inner),
    max_leaves=12,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["proposals", "edits", "knobs", "values", "sketch", "variant", "why", "next_model", "x"]), VALUES
)
NEARLY = st.builds(
    lambda objects, cut, extra: json.dumps({"proposals": objects})[cut:] + extra,
    st.lists(OBJECTS, max_size=4),
    st.integers(0, 30),
    st.text(max_size=20),
)
PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            '"',
            "\\",
            ",",
            ":",
            "'",
            "<think>",
            "</think>",
            "```",
            '"edits"',
            '"knob"',
            "1e999",
            "9" * 5000,
        ]
    )
    | st.text(max_size=3),
    max_size=60,
).map("".join)


HOSTILE = {
    "open lists": "[" * 2_000_000,
    "open objects": '{"a":' * 400_000,
    "open keys": '{"' * 1_000_000,
    "open strings": '{"a": "' + "x" * 2_000_000,
    "open numbers": "[1," * 600_000,
    "empty objects": "{}[]" * 500_000,
    "broken objects": '{"a": x}, ' * 200_000,
    "broken deep objects": ("{" * 15 + " x " + "}" * 15) * 60_000,
    "nested as deep as is read": ("[" * 16 + "]" * 16 + ",") * 60_000,
    "crossed": "[{]}" * 500_000,
    "escapes": '"\\' * 1_000_000,
    "unbalanced quotes": '{"a": "b}' * 200_000,
    "thoughts": "<think>" * 300_000,
    "ends of thoughts": "</think>" * 250_000,
    "fences": "```json\n{\n```\n" * 150_000,
    "commas and spaces": "[1" + ("," + " " * 50) * 40_000 + "x]",
    "spaces": " " * 2_000_000,
    "NUL": "\0" * 2_000_000,
    "lone surrogates": "\ud800" * 2_000_000,
    "a long integer": "[" + "9" * 2_000_000 + "]",
    "no numbers": '{"edits":[' + "NaN,Infinity,-Infinity,1e999999," * 900 + "1]}",
    "the same key": "{" + '"edits":[],' * 2_500 + '"edits":[]}',
    "a good one again and again": WHOLE * 10_000,
    "many proposals with many knobs that are not": reply(*[one(*[edit(f"knb{n}", n) for n in range(60)])] * 16),
    "values without end": reply(one(edit("C.i", [1] * 10_000))),
    "edits without end": reply(written("C.i=[1,8,1,8] " * 2_000)),
    "edits that never end": reply(written("C.i=" * 5_000), written("[" * 20_000), written("x" * 30_000)),
    "many names that are nearly those of sketches": reply(*[one(sketch=f"plain/flta{n}") for n in range(400)]),
}


@contextlib.contextmanager
def nothing_opened_or_evaluated() -> Iterator[None]:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("reading a reply opens a file or evaluates something")

    with pytest.MonkeyPatch.context() as patch:
        for module, names in ((builtins, ("open", "eval", "exec", "compile")), (os, ("open", "stat", "system"))):
            for name in names:
                patch.setattr(module, name, refuse)
        yield


def check_any(text: str, seen: Observation) -> None:
    """A reply or a ReplyError, in words that can be printed and written to files."""
    try:
        with nothing_opened_or_evaluated():
            found = read(text, seen)
    except ReplyError as error:
        said = [str(error), *error.dropped]
    else:
        assert 1 <= len(found.proposal.transformations) <= seen.proposals_wanted
        said = [found.proposal.why, found.proposal.next_member, *found.dropped]
    for words in said:
        words.encode()  # no lone surrogates
        assert words.isprintable()


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200) | NEARLY | PIECES | st.text().map(WHOLE[:60].__add__), st.sampled_from([SEEN, ROOT]))
def test_no_text_raises_anything_else(text: str, seen: Observation) -> None:
    check_any(text, seen)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.characters() | st.sampled_from('{}[]"\\,:')), max_size=5))
def test_no_slip_in_a_good_reply_raises_anything_else(slips: list[tuple[int, str]]) -> None:
    text = WHOLE
    for place, character in slips:
        text = text[:place] + character + text[place + 1 :]
    check_any(text, SEEN)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_replies_are_read_with_bounded_effort(case: str) -> None:
    """Of 2 MB no more is looked at than of 32 kB, and of that no more than a given number of marks."""
    seen = ROOT if "sketches" in case else SEEN
    check_any(HOSTILE[case], seen)


class CountingMarks:
    """The pattern of marks, counting those that are looked at."""

    def __init__(self) -> None:
        self.count = 0

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        for match in _MARKS.finditer(text):
            self.count += 1
            yield match


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_looked_at_is_bounded(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks, and characters that are handed to the JSON parser: four descents, two attempts each."""
    loaded: list[int] = []
    load = json.loads

    def counting(text: str, **options: Any) -> object:
        loaded.append(len(text))
        return load(text, **options)

    marks = CountingMarks()
    monkeypatch.setattr("colt.proposers.language.salvage.json.loads", counting)
    monkeypatch.setattr("colt.proposers.language.salvage._MARKS", marks)
    with contextlib.suppress(ReplyError):
        read(HOSTILE[case])
    assert sum(loaded) <= 8 * MAX_CHARACTERS
    assert len(loaded) <= MAX_EFFORT / 10
    assert marks.count <= MAX_EFFORT + 10


def test_an_integer_that_python_refuses_costs_its_own_edit_alone() -> None:
    """Python reads no integer of more than 4,300 digits and raises ValueError, which JSON's own error is too."""
    text = reply(one(edit("C.i", [1, 8, 1, 8]), edit("C.j", 0))).replace("0}", "9" * 5000 + "}")
    found = read(text)
    assert found.proposal.transformations == ((TILE,),)
    assert found.errors == 1


# ---- moves ----

UNTUNED = SPACE.untuned
SPLIT, MARK = SplitLoop(LoopName("C", "i"), ("?", "?")), ParallelLoop(LoopName("C", "i_0"))


def moving(text: str, seen: Any = SEEN) -> ReadReply:
    return read_reply(text, seen, BRIEFING, UNTUNED)


def test_moves_come_before_edits_and_a_knob_that_they_make_may_be_set() -> None:
    given = written("unroll=64 C.i=[4,16]", moves="split(C.i, [?, ?]); parallel(C.i_0)")
    knobs = tuple(knob for knob in SEEN.knobs if knob.name != "C.i")
    found = moving(reply(given), replace(SEEN, knobs=knobs, node=replace(SEEN.node, schedule=_without(SEEN, "C.i"))))
    assert found.proposal.transformations == ((SPLIT, MARK, Edit("unroll", 64), Edit("C.i", (4, 16))),)
    assert found.errors == 0


def _without(seen: Observation, name: str) -> Schedule:
    schedule = seen.node.schedule
    kept = tuple(value for knob, value in zip(seen.knobs, schedule.values, strict=True) if knob.name != name)
    return replace(schedule, values=kept)


def test_moves_may_be_made_on_the_untuned_program() -> None:
    given = {"sketch": f"{UNTUNED.variant}/{UNTUNED.sketch}", "moves": ["parallel(C.i_0)"], "edits": []}
    (steps,) = moving(reply(given)).proposal.transformations
    assert steps == (Jump(UNTUNED.variant, UNTUNED.sketch), MARK)


def test_moves_in_other_forms_are_understood() -> None:
    forms = [
        "parallel(C.i_0)",
        "parallel(C.i_0) # outermost; (all threads)",
        ["Parallel( C.i_0 )"],
        [{"move": "parallel", "loop": "C.i_0"}],
    ]
    for form in forms:
        assert moving(reply({"moves": form})).proposal.transformations == ((MARK,),), form


def test_a_move_that_cannot_be_read_costs_its_proposal_and_the_model_is_told_what_is_accepted() -> None:
    found = moving(reply({**GOOD, "moves": ["parallel(C.i)", "split(C.i, [0, 8])"]}, one(edit("unroll", 64))))
    assert found.proposal.transformations == ((Edit("unroll", 64),),)
    (told,) = found.dropped
    assert told.startswith("proposal 1: split is written split(B.i, [_, 4, 16])")


def test_moves_are_not_taken_where_none_are_asked_for() -> None:
    with pytest.raises(ReplyError, match="no moves in this run"):
        read(reply({**GOOD, "moves": ["parallel(C.i)"]}))
    assert "moves" not in schema(["a"])["properties"]["proposals"]["items"]["properties"]
    assert "moves" in schema(["a"], moves=True)["properties"]["proposals"]["items"]["required"]


class Structured(ToyBriefing):
    """Knows one structure that moves made."""

    def knobs(self, variant: str, sketch: str) -> Any:
        if sketch == "flat | parallel(C.i)":
            return SEEN.knobs
        raise IllegalEdit("there is no block D")


def test_a_structure_that_moves_made_is_named_in_whole() -> None:
    def read_structured(sketch: str) -> ReadReply:
        return read_reply(reply({"sketch": sketch, "edits": []}), SEEN, Structured(SPACE), UNTUNED)

    (steps,) = read_structured("toy/flat | parallel(C.i)").proposal.transformations
    assert steps == (Jump("toy", "flat | parallel(C.i)"),)
    with pytest.raises(ReplyError, match="there is no block D"):
        read_structured("toy/flat | parallel(D.i)")
