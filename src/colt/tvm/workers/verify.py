"""Run a candidate and the untuned program on the same inputs and compare what they leave in their parameters.

Sums in few bits are compared with the same computation in float64: the untuned program may be the less accurate one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import tvm
import tvm_ffi
from tvm.tirx import PrimFunc

from colt.measure.base import INPUTS_TO_BLAME, Verification
from colt.tvm.programs.arrays import Array, is_float
from colt.tvm.workers.access import ParameterAccess, analyse
from colt.tvm.workers.arguments import Drawing, Signature, poisoned_array, positive, signature
from colt.tvm.workers.compare import Difference, agree, close, compare, compare_with_wide, few, same_bytes, verdict
from colt.tvm.workers.draws import USUAL, DrawKind, InputDraw, further_draws
from colt.tvm.workers.kernel import entry_function
from colt.tvm.workers.messages import Stage
from colt.tvm.workers.place import Place
from colt.tvm.workers.races import race
from colt.tvm.workers.rounded import rounded_module
from colt.tvm.workers.rows import in_rows
from colt.tvm.workers.wide import NoWideProgram, Sums, sums, wide_array, wide_module
from colt.util.text import first_line

_REFERENCE, _CANDIDATE = 0, 1
_KEPT = 4
_KEPT_BYTES = 256 << 20
"""So many references are kept at least, and more of them up to that many bytes."""

Announce = Callable[[Stage, int], None]


@dataclass(slots=True)
class Expected:
    """What the reference starts from and what it leaves, by parameter."""

    signature: Signature
    access: ParameterAccess
    before: tuple[Array, ...]
    after: tuple[Array, ...]
    function: PrimFunc
    sums: Sums | None
    draw: InputDraw
    """The usual one if it computes nothing finite on the one that was wanted."""
    positive: bool
    """Whether it starts from positive floats, since it computes nothing finite otherwise."""
    wide: tuple[Array, ...] | None = None
    """What the same computation in float64 leaves, once that was asked for; empty if it is not to be had."""
    rounded: tuple[Array, ...] = ()
    """What it leaves if its intermediates have the types that it states; empty if they have anyway."""
    scales: tuple[float, ...] = ()
    """For each parameter how large a sum like those in it usually is, if it has so few that all may be near 0."""
    why_not_wide: str = ""
    """Why it is not to be had."""

    @property
    def whole(self) -> bool:
        """Whether it starts from whole numbers."""
        return self.draw.kind is DrawKind.WHOLE

    @property
    def further(self) -> list[InputDraw]:
        """Other draws on which to compare."""
        return list(further_draws(self.function, [self.after[i] for i in self.access.written], self.sums))

    @property
    def bytes(self) -> int:
        """Memory that is held."""
        return sum(array.nbytes for array in (*self.before, *self.after, *(self.wide or ()), *self.rounded))


class NothingFinite(ValueError):
    """The untuned program computes no finite number, whatever it is called with."""


class Verifier:
    """Keeps the last references' results: one run of an untuned program can take a minute."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept: OrderedDict[tuple[int, Drawing, InputDraw], Expected] = OrderedDict()

    def verify(
        self, reference: tvm.IRModule, candidate: tvm.IRModule, drawing: Drawing, announce: Announce
    ) -> Verification:
        """Compare. ``announce`` is called with each stage and the program's index. Passes on what building and running
        raise.

        What rounds away on the usual inputs shows on others, see :mod:`~colt.tvm.workers.draws`.
        """
        expected = self._expected(reference, drawing, USUAL, announce)
        if signature(candidate) != expected.signature:
            return Verification(False, math.inf, math.inf, 0.0, "the parameters are not those of the reference")
        if (found := race(entry_function(candidate))) is not None and race(expected.function) is None:
            return Verification(False, math.inf, math.inf, 0.0, found)
        result = self._compared(expected, candidate, announce)
        for draw in expected.further if result.ok else ():
            other = self._telling(reference, drawing, draw, announce)
            if other is None:
                continue
            again = self._compared(other, candidate, announce)
            if not again.ok:
                return replace(again, message=f"{again.message} ({other.draw.remark})")
        return result

    def _telling(
        self, reference: tvm.IRModule, drawing: Drawing, draw: InputDraw, announce: Announce
    ) -> Expected | None:
        """What the reference makes of a further draw, of smaller numbers if these are too large; ``None`` if that says
        nothing: where the untuned program itself is far off, others may be as well."""
        for one in dict.fromkeys((draw, replace(draw, size=1.0))):
            expected = self._expected(reference, drawing, one, announce)
            if expected.draw == one and (one.certain or self._is_close(expected, announce)):
                return expected
        return None

    def _is_close(self, expected: Expected, announce: Announce) -> bool:
        self._widen(expected, announce)
        wide, after = expected.wide or (), expected.after
        return bool(wide) and all(close(wide[i], after[i]) for i in expected.access.written)

    def settle(self, reference: tvm.IRModule, drawing: Drawing, announce: Announce) -> bool | None:
        """Whether inputs have to be positive for the program to compute anything finite; ``None`` if nothing helps."""
        try:
            expected = self._expected(reference, drawing, USUAL, announce)
        except NothingFinite:
            return None
        return expected.positive

    def _compared(self, expected: Expected, candidate: tvm.IRModule, announce: Announce) -> Verification:
        if expected.sums is not None and (expected.sums.narrow or expected.whole):
            self._widen(expected, announce)
        found = self._run(candidate, expected.before, _CANDIDATE, announce)
        announce(Stage.COMPARING, _CANDIDATE)
        differences = list(_differences(expected, found))
        if expected.wide is None and any(each.doubtful for _, each in differences):
            self._widen(expected, announce)
            announce(Stage.COMPARING, _CANDIDATE)
            differences = list(_differences(expected, found))
        result = verdict(differences)
        if result.ok and expected.why_not_wide:
            return replace(result, message=f"not compared with float64, where {expected.why_not_wide}")
        return result

    def _expected(self, reference: tvm.IRModule, drawing: Drawing, draw: InputDraw, announce: Announce) -> Expected:
        key = (tvm_ffi.structural_hash(reference), drawing, draw)
        if key not in self._kept:
            while len(self._kept) >= _KEPT and sum(kept.bytes for kept in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
            self._kept[key] = self._run_reference(reference, drawing, draw, announce)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _widen(self, expected: Expected, announce: Announce) -> None:
        """Find out what the computation in float64 leaves, if there is one."""
        if expected.wide is not None:
            return
        try:
            module = wide_module(expected.function)
            before = tuple(map(wide_array, expected.before))
            expected.wide = self._run_wide(expected, module, before, announce)
            if (stated := rounded_module(expected.function)) is not None:
                expected.rounded = self._run(stated, expected.before, _REFERENCE, announce)
            if expected.sums is not None and any(few(expected.wide[i].size) for i in expected.access.written):
                sums_of_sizes = self._run(module, tuple(map(abs, before)), _REFERENCE, announce)
                expected.scales = tuple(_scale(array, expected.sums) for array in sums_of_sizes)
        except NoWideProgram as error:
            expected.wide, expected.why_not_wide = (), first_line(error)
        except tvm.error.InternalError as error:
            expected.wide, expected.why_not_wide = (), f"it does not build: {first_line(error)}"

    def _run_wide(
        self, expected: Expected, module: tvm.IRModule, before: tuple[Array, ...], announce: Announce
    ) -> tuple[Array, ...]:
        """What the program in float64 leaves, sooner if its loops can be exchanged. Candidates have theirs exchanged by
        the same code of TVM's, so what comes out has to agree with the untuned program, whose loops are as written."""
        quick = in_rows(module)
        if not tvm_ffi.structural_equal(quick, module):
            found = self._run(quick, before, _REFERENCE, announce)
            if all(agree(found[i], expected.after[i]) for i in expected.access.written):
                return found
        return self._run(module, before, _REFERENCE, announce)

    def _run_reference(
        self, reference: tvm.IRModule, drawing: Drawing, draw: InputDraw, announce: Announce
    ) -> Expected:
        """Inputs that the program can do nothing finite with are drawn once more: as usual, if they were not, and then
        all floats positive."""
        announce(Stage.PREPARING, _REFERENCE)
        function = entry_function(reference)
        parameters, access = signature(reference), analyse(function)
        if not access.written:
            raise ValueError("the reference writes none of its parameters")
        care = positive(parameters, drawing)
        for one, given in dict.fromkeys(((draw, drawing), (USUAL, drawing), (USUAL, care))):
            announce(Stage.PREPARING, _REFERENCE)
            arrays = one.contents(parameters, given)
            poison = access.poisonable
            before = tuple(poisoned_array(parameters[i]) if i in poison else array for i, array in enumerate(arrays))
            after = self._run(reference, before, _REFERENCE, announce)
            if any(_has_finite(after[i]) for i in access.written):
                return Expected(parameters, access, before, after, function, sums(function), one, given is care)
        raise NothingFinite(f"it computes no finite number; {INPUTS_TO_BLAME}")

    def _run(
        self, module: tvm.IRModule, before: tuple[Array, ...], which: int, announce: Announce
    ) -> tuple[Array, ...]:
        announce(Stage.BUILDING, which)
        kernel = self._place.build(module)
        announce(Stage.PREPARING, which)
        tensors = [self._place.tensor(array) for array in before]
        bound = kernel.bind(tensors)
        announce(Stage.RUNNING, which)
        bound.run()
        return tuple(tensor.numpy() for tensor in tensors)


def _differences(expected: Expected, found: tuple[Array, ...]) -> Iterator[tuple[str, Difference]]:
    for i, (before, after, array) in enumerate(zip(expected.before, expected.after, found, strict=True)):
        if i in expected.access.written:
            plain = compare(after, array)
            if expected.wide:
                scale = expected.scales[i] if expected.scales else 0.0
                rounded = expected.rounded[i] if expected.rounded else None
                plain = compare_with_wide(
                    expected.wide[i], after, array, plain, expected.sums, expected.whole, scale, rounded
                )
            yield f"parameter {i} (written)", plain
        else:
            yield f"parameter {i} (input)", same_bytes(before, array)


def _scale(sums_of_sizes: Array, sums: Sums) -> float:
    """How large a sum of random signs usually is whose terms' sizes add up to that; 0 if it is no such sum."""
    if not few(sums_of_sizes.size) or not is_float(sums_of_sizes.dtype):
        return 0.0
    largest = float(abs(sums_of_sizes).max(initial=0.0))
    return largest / math.sqrt(sums.terms) if math.isfinite(largest) else 0.0


def _has_finite(array: Array) -> bool:
    """Whether there is anything to compare; an array without elements has nothing to differ in."""
    return not array.size or not is_float(array.dtype) or bool(np.isfinite(array).any())
