"""The schema of a model's reply, and the way from its text to a proposal.

Reading is tolerant of form (see :mod:`colt.proposers.language.salvage`) and strict in content. Each edit is checked on
its own: good ones are kept, bad ones are dropped with a message that the model is told in its next prompt. A reply is
data: nothing in it is evaluated, and reading it raises only :class:`ReplyError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Knob, Schedule, Transformation
from colt.moves import Move, SplitLoop, is_moved, read_moves
from colt.proposers.language.edits import LONGEST_NAME, checked, in_brief, unchecked, written_edits
from colt.proposers.language.salvage import json_pieces, printable
from colt.search.types import Observation, Proposal, ProposalError
from colt.util.text import nearest

MAX_PROPOSALS = 16
MAX_EDITS = 64
"""Edits of one proposal that are read; the rest are dropped."""
MAX_MESSAGES = 8
"""Complaints that are put into words; the rest are only counted."""
NEAR = 40
"""How many names a wrong one is compared with."""
_WHY = 200


class Catalogue(Protocol):
    """The sketches of a space and their knobs."""

    @property
    def keys(self) -> Sequence[tuple[str, str]]:
        """Variant and name of each sketch."""
        ...

    def knobs(self, variant: str, sketch: str) -> Sequence[Knob]:
        """The knobs of one sketch; location knobs may list no locations."""
        ...


class ReplyError(ProposalError):
    """The reply has no usable proposal. ``dropped`` says what was dropped, and why."""

    def __init__(self, message: str, dropped: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.dropped = tuple(dropped)


@dataclass(frozen=True, slots=True)
class ReadReply:
    """A proposal read from a reply. ``errors`` counts what was dropped; ``dropped`` tells the model about it."""

    proposal: Proposal
    dropped: tuple[str, ...]
    errors: int


def schema(members: Sequence[str], moves: bool = False) -> dict[str, Any]:
    """The JSON schema of a reply, in the subset that strict structured outputs take: all fields required, no others.

    A null ``sketch`` keeps the node's. Edits and moves are texts, written as prompts show them: ``C.i=[1,64,1,8]
    unroll=16`` and ``split(C.k, [_, 32]); parallel(C.k_0)``; both may be empty. ``why`` comes first, so that the values
    follow from it. ``minItems`` is there because weak models otherwise give no proposals. ``moves``: proposals may hold
    moves.
    """
    text = {"type": "string"}
    moved = {"moves": text} if moves else {}
    proposal = _object(why=text, sketch={"type": ["string", "null"]}, **moved, edits=text)
    return _object(
        proposals={"type": "array", "items": proposal, "minItems": 1},
        next_model={"type": "string", "enum": list(members)},
    )


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_reply(text: str, observation: Observation, catalogue: Catalogue, untuned: Schedule | None = None) -> ReadReply:
    """The proposal in ``text``, for the node that ``observation`` shows.

    A next member that is not in the pool is passed on as written: the search counts it and falls back. ``untuned``:
    what moves can be made on beside sketches, if proposals may hold moves.

    Raises
    ------
    ReplyError
        There is no proposal, or none of its edits is usable.
    """
    if not text.strip():
        raise ReplyError("the reply is empty")
    found = _Found.of(json_pieces(text))
    if not found.proposals:
        raise ReplyError(f"the reply of {len(text)} characters has no JSON object with proposals")
    reader = _Reader(observation, catalogue, untuned)
    kept: dict[Transformation, str] = {}
    for number, raw in enumerate(found.proposals[:MAX_PROPOSALS]):
        if len(kept) == observation.proposals_wanted:
            break  # more than was asked for
        reader.label = f"proposal {number + 1}: " if len(found.proposals) > 1 else ""
        transformation = reader.transformation(raw)
        if transformation:
            kept.setdefault(transformation, _reason(raw))
    if not kept:
        raise ReplyError("; ".join(reader.messages[:2]) or "no proposal changes anything", reader.messages)
    why = " | ".join(reason for reason in kept.values() if reason)
    proposal = Proposal(tuple(kept), _next_model(found.next_model, observation), why)
    return ReadReply(proposal, tuple(reader.messages), reader.errors)


# ---- where the proposals stand ----


@dataclass(slots=True)
class _Found:
    proposals: list[Mapping[str, object]] = field(default_factory=list)
    next_model: object = None

    @classmethod
    def of(cls, pieces: Sequence[object]) -> _Found:
        """The last piece that holds a whole reply; if none does, all single proposals."""
        wholes = [found for piece in pieces if (found := cls._whole(piece)).proposals]
        if wholes:
            return wholes[-1]
        objects = [piece for piece in pieces if isinstance(piece, dict)]
        return cls([one for one in objects if _is_proposal(one)], _first_next_model(objects))

    @classmethod
    def _whole(cls, piece: object) -> _Found:
        if isinstance(piece, dict) and len(piece) == 1 and "proposals" not in piece and not _is_proposal(piece):
            piece = next(iter(piece.values()))  # {"answer": {...}}
        next_model = _first_next_model([piece])
        if isinstance(piece, dict):
            listed = piece.get("proposals")
            piece = [listed] if isinstance(listed, dict) else listed
        if not isinstance(piece, list):
            return cls()
        objects = [one for one in piece if isinstance(one, dict)]
        return cls([one for one in objects if _is_proposal(one)], next_model or _first_next_model(objects))


def _is_proposal(piece: Mapping[str, object]) -> bool:
    return any(key in piece for key in ("edits", "sketch", "moves", "knobs", "values"))


def _first_next_model(pieces: Sequence[object]) -> object:
    return next((piece["next_model"] for piece in pieces if isinstance(piece, dict) and "next_model" in piece), None)


def _reason(raw: Mapping[str, object]) -> str:
    why = raw.get("why")
    return printable(why, _WHY) if isinstance(why, str) else ""


def _next_model(named: object, observation: Observation) -> str:
    """The name as the pool spells it, if it is in the pool."""
    name = named.strip() if isinstance(named, str) else ""
    known = {model.spec.name.casefold(): model.spec.name for model in observation.members}
    return known.get(name.casefold()) or printable(name, LONGEST_NAME)


# ---- what they hold ----


@dataclass(slots=True)
class _Reader:
    observation: Observation
    catalogue: Catalogue
    untuned: Schedule | None = None
    label: str = ""
    messages: list[str] = field(default_factory=list)
    errors: int = 0
    _sketches: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def transformation(self, raw: Mapping[str, object]) -> Transformation | None:
        """The usable steps of a proposal; ``None`` if there are none."""
        jump = None
        if raw.get("sketch") is not None:
            key = self._sketch(raw)
            if key is None:
                return None
            here = self.observation.node.schedule
            jump = None if key == (here.variant, here.sketch) else Jump(*key)
        knobs = self._knobs(jump)
        moves = self._moves(raw)
        if moves is None:
            return None
        edits = self._edits(raw, knobs, moves)
        if jump is None and not moves:
            present = {k.name: v for k, v in zip(knobs, self.observation.node.schedule.values, strict=True)}
            edits = [edit for edit in edits if edit.value is None or edit.value != present[edit.knob]]
        steps: Transformation = (*([] if jump is None else [jump]), *moves, *edits)
        if not steps and not self.messages:
            self._complain("it changes nothing")
        return steps or None

    def _knobs(self, jump: Jump | None) -> Sequence[Knob]:
        """The knobs of what moves and edits start from."""
        if jump is None:
            return self.observation.knobs
        if self.untuned is not None and (jump.variant, jump.sketch) == (self.untuned.variant, self.untuned.sketch):
            return ()
        return self.catalogue.knobs(jump.variant, jump.sketch)

    def _moves(self, raw: Mapping[str, object]) -> tuple[Move, ...] | None:
        """The moves; ``None`` if one of them cannot be read, since those after it may build on it."""
        if not raw.get("moves"):
            return ()
        if self.untuned is None:
            self._complain("there are no moves in this run")
            return None
        try:
            return read_moves(raw["moves"])
        except IllegalEdit as error:
            self._complain(str(error))
            return None

    def _sketch(self, raw: Mapping[str, object]) -> tuple[str, str] | None:
        named, variant = raw["sketch"], raw.get("variant")
        if not isinstance(named, str):
            self._complain(f"`sketch` takes null or a name such as {'/'.join(self.catalogue.keys[0])!r}")
            return None
        name = named.strip().casefold()
        if isinstance(variant, str) and "/" not in name:
            name = f"{variant.strip().casefold()}/{name}"
        if self.untuned is not None and raw.get("moves") and name == f"{self.untuned.variant}/{self.untuned.sketch}":
            return self.untuned.variant, self.untuned.sketch
        if self.untuned is not None and is_moved(named):
            return self._structure(named)
        same = self._named(name)
        if len(same) == 1:
            return same[0]
        self._complain(partial(_no_such_sketch, named, ["/".join(key) for key in (same or self.catalogue.keys)]))
        return None

    def _structure(self, named: str) -> tuple[str, str] | None:
        """What moves have made before, by its whole name."""
        variant, _, name = named.strip().partition("/")
        try:
            self.catalogue.knobs(variant, name)
        except (IllegalEdit, Rejected) as error:
            self._complain(str(error))
            return None
        return variant, name

    def _named(self, name: str) -> list[tuple[str, str]]:
        """The sketches of that name; the variant may be left out."""
        if not self._sketches:
            for key in self.catalogue.keys:
                for known in ("/".join(key).casefold(), key[1].casefold()):
                    self._sketches.setdefault(known, []).append(key)
        return self._sketches.get(name, [])

    def _edits(self, raw: Mapping[str, object], knobs: Sequence[Knob], moves: Sequence[Move] = ()) -> list[Edit]:
        """Edits of these knobs, and, unchecked, of those that the moves make."""
        made = {str(move.loop) for move in moves if isinstance(move, SplitLoop) and move.is_open}
        by_name = {knob.name.casefold(): knob for knob in knobs}
        found: dict[str, Edit] = {}
        pairs = self._pairs(raw, knobs)
        if len(pairs) > MAX_EDITS:
            self._complain(f"it has {len(pairs)} edits; only the first {MAX_EDITS} are read")
        for name, value in pairs[:MAX_EDITS]:
            knob = by_name.get(name.strip().casefold()) if isinstance(name, str) else None
            if knob is None and isinstance(name, str) and name.strip() in made:
                found[name.strip()] = Edit(name.strip(), unchecked(value))
            elif knob is None:
                self._complain(partial(_no_such_knob, name, knobs))
            elif knob.name in found:
                self._complain(f"knob {knob.name} is edited twice; the first counts")
            else:
                try:
                    found[knob.name] = Edit(knob.name, checked(knob, value))
                except IllegalEdit as error:
                    self._complain(str(error))
        return list(found.values())

    def _pairs(self, raw: Mapping[str, object], knobs: Sequence[Knob]) -> list[tuple[object, object]]:
        """Names and values: from text, a list of edits, an object of values by name, or a list of all values."""
        given = next((raw[key] for key in ("edits", "knobs", "values") if raw.get(key) is not None), None)
        if given is None:
            return []
        if isinstance(given, str):
            pairs, stray = written_edits(given)
            if stray:
                self._complain(f"edits are written like B.i=[1,64,1,8] unroll=16, not {in_brief(stray)}")
            return [*pairs]
        if isinstance(given, dict):
            given = [given] if "knob" in given else [{"knob": name, "value": value} for name, value in given.items()]
        if not isinstance(given, list):
            self._complain("`edits` is a text such as B.i=[1,64,1,8] unroll=16")
            return []
        edits = [one for one in given if isinstance(one, dict) and "knob" in one]
        if edits or not given:
            for _ in range(len(given) - len(edits)):
                self._complain("an edit is an object with `knob` and `value`")
            return [(one["knob"], one.get("value")) for one in edits]
        if len(given) == len(knobs):
            return [(knob.name, value) for knob, value in zip(knobs, given, strict=True)]
        self._complain(f"it lists {len(given)} values without names for {len(knobs)} knobs")
        return []

    def _complain(self, message: str | Callable[[], str]) -> None:
        """Count an error; put it into words, which may take time, only if it is among the first."""
        self.errors += 1
        if len(self.messages) < MAX_MESSAGES:
            worded = message if isinstance(message, str) else message()
            self.messages.append(printable(self.label + worded, 300))


def _no_such_sketch(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known[:NEAR])
    title = "similar ones" if near else "there are"
    return f"there is no sketch {in_brief(name)}; {title}: {', '.join(near or known[:6])}"


def _no_such_knob(name: object, knobs: Sequence[Knob]) -> str:
    if not isinstance(name, str):
        return f"`knob` takes the name of a knob, not {in_brief(name)}"
    names = [knob.name for knob in knobs]
    near = nearest(name, names)
    if near:
        return f"there is no knob {in_brief(name)} in that sketch; similar ones: {', '.join(near)}"
    return f"there is no knob {in_brief(name)} in that sketch; its knobs: {', '.join(names[:20]) or 'none'}"
