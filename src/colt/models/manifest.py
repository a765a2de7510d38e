"""What a compiled model says of itself: the manifest in its file.

A manifest is of one size of everything (:class:`Manifest`), or of several, each with a manifest and a library of its
own (:class:`SizedManifest`); their weights lie in one file, where what several have in common lies once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

SCHEMA, SIZED_SCHEMA = 3, 4
"""The form of a manifest of one size of everything, and that of several."""
FIRST_SCHEMA, FIRST_SIZED_SCHEMA = 1, 2
"""The same before there was a receipt in a manifest."""
LIBRARY = "model.so"
"""The name in the file of the library of a model of one size."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the manifest's parts."""

    def to_json(self) -> str:
        """Readable JSON."""
        return msgspec.json.format(msgspec.json.encode(self)).decode()


class TensorPart(_Part, frozen=True, kw_only=True):
    """An input or an output of the model."""

    name: str
    shape: tuple[int | str, ...]
    """An axis whose size is open has a name in place of one."""
    dtype: str


class WeightPart(_Part, frozen=True, kw_only=True):
    """Where one argument of the library lies among the weights."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class TaskPart(_Part, frozen=True, kw_only=True):
    """One of the model's programs: how often a run calls it, and what it takes each time, in microseconds."""

    name: str
    key: str
    calls: int
    flops: int | None = None
    untuned_us: float | None = None
    tuned_us: float | None = None
    """What a call takes alone, with weights that are cold; see ``model_us``."""
    model_us: float | None = None
    """What a call takes in the model, if it was timed there."""
    roofline_share: float | None = None
    trials: int = 0
    by: str = ""
    """Who found the schedule; empty if it is as it was imported, and ``rule`` if it is a plain one."""
    why_not: str = ""
    """Why it is as it was imported, or has a plain schedule, if so."""
    on_one_thread: int = 0
    """How many of its nests of loops one thread runs alone, although they are long."""
    form: str = ""
    """What its sums are called, if they are others than were imported."""
    form_error: float | None = None
    """How far these are off on random inputs, relative to the largest value."""

    @property
    def us(self) -> float | None:
        """What it takes alone; in the model, if it has a schedule that was not timed alone."""
        if self.tuned_us is not None:
            return self.tuned_us
        return self.model_us if self.by else self.untuned_us


class ComparedPart(_Part, frozen=True, kw_only=True):
    """What the outputs were compared with, and the largest error of each, relative to the largest value of it."""

    against: str
    errors: tuple[float | None, ...]
    """``None`` for one that is infinite: JSON has no number for it."""
    tolerance: float
    ok: bool
    problem: str = ""
    """What is wrong beside numbers: an output of another type or shape."""

    @property
    def worst(self) -> float:
        """The largest error of all outputs."""
        return max((math.inf if one is None else one for one in self.errors), default=0.0)

    @property
    def in_words(self) -> str:
        """How far the outputs are off, or what else is wrong with them."""
        return self.problem or f"error {self.worst:.2g} of {self.tolerance:.2g} allowed"


class WholePart(_Part, frozen=True, kw_only=True):
    """What the whole takes in milliseconds, tuned and untuned in turn, the medians; and the speed-up, with the interval
    of 95 %."""

    tuned_ms: float
    untuned_ms: float | None = None
    speedup: float | None = None
    interval: tuple[float, float] | None = None
    verdict: str = "not compared"


class LayoutPart(_Part, frozen=True, kw_only=True):
    """What a run of the model was expected to take with its convolutions in one layout, in milliseconds, apart from
    what is the same in all; ``programs`` of it were timed."""

    name: str
    ms: float
    programs: int


class MemberPart(_Part, frozen=True, kw_only=True):
    """What a member of the pool did, or whoever else proposed: the turns that it answered, the seconds of these, and
    the trials of what it proposed; and what was sent to a language model, and what that cost."""

    calls: int = 0
    trials: int = 0
    seconds: float = 0.0
    failed: int = 0
    """Calls without an answer."""
    requests: int = 0
    """Those of retries included."""
    input: int = 0
    """Tokens, of which ``cached`` were read from the provider's cache."""
    cached: int = 0
    output: int = 0
    usd: float = 0.0


class ReceiptPart(_Part, frozen=True, kw_only=True):
    """What the runs took that tuned the model's programs, all of them together."""

    seed: int = 0
    pool: tuple[str, ...] = ()
    members: dict[str, MemberPart] = {}
    """By name: those of the pool, and who else proposed, such as ``records``."""
    fates: dict[str, int] = {}
    """How many trials had each fate; skipped ones are none."""
    seconds: dict[str, float] = {}
    """Wall time by activity, without overlap, and in all (``total``)."""
    known: int = 0
    """Schedules of the model's own programs that were known from records, and of relatives; and how many were added."""
    relatives: int = 0
    added: int = 0
    stop_reason: str = ""
    calls_ended: str = ""
    """Why language models were not asked any more, if they were not."""

    @property
    def requests(self) -> int:
        """To all language models, retries included."""
        return sum(one.requests for one in self.members.values())

    @property
    def tokens(self) -> int:
        """What all language models took, in and out together."""
        return sum(one.input + one.output for one in self.members.values())


class Manifest(_Part, frozen=True, kw_only=True):
    """What a compiled model is: read before anything of it is loaded."""

    schema: int
    name: str
    inputs: tuple[TensorPart, ...]
    outputs: tuple[TensorPart, ...]
    target: str
    threads: int
    needs: tuple[str, ...]
    """Flags of the processor, as Linux calls them, that its code may use."""
    weights: tuple[WeightPart, ...]
    tasks: tuple[TaskPart, ...]
    versions: dict[str, str]
    seconds: dict[str, float]
    """Where the time of compiling went."""
    trials: int
    usd: float
    receipt: ReceiptPart | None = None
    """What tuning took; ``None`` in files of before that was kept."""
    cpu: str = ""
    """The processor that it was compiled and timed on; empty in files of before that was kept."""
    products: str = ""
    """The type that operands of products of float32 are rounded to; empty if they are not."""
    layout: str = ""
    """That of its convolutions, if several were compared."""
    layouts: tuple[LayoutPart, ...] = ()
    """Those that were compared."""
    messages: tuple[str, ...] = ()
    compared: ComparedPart | None = None
    timed: WholePart | None = None
    sha256: dict[str, str] = {}
    """The checksums of the library and of the weights."""

    @property
    def is_right(self) -> bool:
        """Whether it computes what it was compared with, if it was compared."""
        return self.compared is None or self.compared.ok

    @property
    def models(self) -> dict[str, Manifest]:
        """Itself, by the name of its library."""
        return {LIBRARY: self}


class SizePart(_Part, frozen=True, kw_only=True):
    """A model for one of the sizes that it was compiled for."""

    sizes: dict[str, int]
    library: str
    """The name of its library in the file."""
    model: Manifest


class OthersPart(_Part, frozen=True, kw_only=True):
    """A model for all other sizes, of which nothing is tuned."""

    library: str
    model: Manifest
    limits: dict[str, tuple[int, int]]
    """The smallest and the largest of each size that it was compared for. It takes none beyond."""


class SizedManifest(_Part, frozen=True, kw_only=True):
    """What a model is that was compiled for several sizes."""

    schema: int
    name: str
    inputs: tuple[TensorPart, ...]
    parts: tuple[SizePart, ...]
    """In the order in which they were compiled; there is at least one."""
    others: OthersPart | None = None
    messages: tuple[str, ...] = ()
    sha256: dict[str, str] = {}
    """The checksums of the libraries and of the weights."""

    @property
    def outputs(self) -> tuple[TensorPart, ...]:
        """Those of the first size."""
        return self.parts[0].model.outputs

    @property
    def is_right(self) -> bool:
        """Whether the models of all sizes compute what they were compared with."""
        return all(one.is_right for one in self.models.values())

    @property
    def models(self) -> dict[str, Manifest]:
        """The models of all sizes by the names of their libraries, that for other sizes last."""
        found = {one.library: one.model for one in self.parts}
        return found if self.others is None else {**found, self.others.library: self.others.model}

    def with_models(self, models: Mapping[str, Manifest]) -> SizedManifest:
        """The same with other manifests of its models, by the names of their libraries."""

        parts = tuple(msgspec.structs.replace(one, model=models[one.library]) for one in self.parts)
        others = self.others
        if others is not None:
            others = msgspec.structs.replace(others, model=models[others.library])
        return msgspec.structs.replace(self, parts=parts, others=others)


AnyManifest = Manifest | SizedManifest
