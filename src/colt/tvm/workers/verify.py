"""Run a candidate and the untuned program on the same inputs and compare what they leave in their parameters.

Sums in few bits are compared with the same computation in float64: the untuned program may be the less accurate one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tvm
import tvm_ffi
from tvm.tirx import PrimFunc

from colt.measure.base import INPUTS_TO_BLAME, Verification
from colt.tvm.programs.domains import domains
from colt.tvm.workers.access import ParameterAccess, analyse
from colt.tvm.workers.arguments import (
    Array,
    Signature,
    is_float,
    poisoned_array,
    positive_domains,
    random_arrays,
    signature,
    whole_arrays,
)
from colt.tvm.workers.compare import Difference, compare, compare_with_wide, same_bytes, verdict
from colt.tvm.workers.kernel import entry_function
from colt.tvm.workers.messages import Stage
from colt.tvm.workers.place import Place
from colt.tvm.workers.wide import NoWideProgram, Sums, sums, wide_array, wide_module

_REFERENCE, _CANDIDATE = 0, 1
_KEPT = 4

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
    whole: bool
    """Whether it starts from whole numbers."""
    wide: tuple[Array, ...] | None = None
    """What the same computation in float64 leaves, once that was asked for; empty if it is not to be had."""


class Verifier:
    """Keeps the last references' results: one run of an untuned program can take a minute."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept: OrderedDict[tuple[int, int, bool], Expected] = OrderedDict()

    def verify(self, reference: tvm.IRModule, candidate: tvm.IRModule, seed: int, announce: Announce) -> Verification:
        """Compare. ``announce`` is called with each stage and the program's index. Passes on what building and running
        raise.

        Sums in few bits are compared a second time, on whole numbers: what rounds away in the first comparison, such as
        a lost term, shows in the second.
        """
        expected = self._expected(reference, seed, False, announce)
        if signature(candidate) != expected.signature:
            return Verification(False, math.inf, math.inf, 0.0, "the parameters are not those of the reference")
        result = self._compared(expected, candidate, announce)
        if not result.ok or expected.sums is None or not expected.sums.narrow:
            return result
        whole = self._compared(self._expected(reference, seed, True, announce), candidate, announce)
        return result if whole.ok else replace(whole, message=f"{whole.message} (inputs -1, 0 and 1)")

    def _compared(self, expected: Expected, candidate: tvm.IRModule, announce: Announce) -> Verification:
        if expected.sums is not None and expected.sums.narrow:
            self._widen(expected, announce)
        found = self._run(candidate, expected.before, _CANDIDATE, announce)
        announce(Stage.COMPARING, _CANDIDATE)
        differences = list(_differences(expected, found))
        if expected.sums is not None and expected.wide is None and not all(each.ok for _, each in differences):
            self._widen(expected, announce)
            announce(Stage.COMPARING, _CANDIDATE)
            differences = list(_differences(expected, found))
        return verdict(differences)

    def _expected(self, reference: tvm.IRModule, seed: int, whole: bool, announce: Announce) -> Expected:
        key = (tvm_ffi.structural_hash(reference), seed, whole)
        if key not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = self._run_reference(reference, seed, whole, announce)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _widen(self, expected: Expected, announce: Announce) -> None:
        """Find out what the computation in float64 leaves, if there is one."""
        if expected.wide is not None:
            return
        try:
            module = wide_module(expected.function)
            expected.wide = self._run(module, tuple(map(wide_array, expected.before)), _REFERENCE, announce)
        except (NoWideProgram, tvm.error.InternalError):
            expected.wide = ()

    def _run_reference(self, reference: tvm.IRModule, seed: int, whole: bool, announce: Announce) -> Expected:
        """Inputs that the program can do nothing finite with are drawn once more: all floats positive, but if they were
        whole numbers as usual before that."""
        announce(Stage.PREPARING, _REFERENCE)
        function = entry_function(reference)
        parameters, access, drawn = signature(reference), analyse(function), domains(function)
        if not access.written:
            raise ValueError("the reference writes none of its parameters")
        summed = sums(function)
        usual = partial(random_arrays, parameters, seed)
        tries = [partial(usual, drawn), partial(usual, positive_domains(parameters, drawn))]
        if whole and summed is not None:
            tries = [partial(whole_arrays, parameters, seed, drawn, summed.terms), *tries]
        for draw in tries:
            announce(Stage.PREPARING, _REFERENCE)
            arrays = draw()
            poison = access.poisonable
            before = tuple(poisoned_array(parameters[i]) if i in poison else array for i, array in enumerate(arrays))
            after = self._run(reference, before, _REFERENCE, announce)
            if any(_has_finite(after[i]) for i in access.written):
                return Expected(parameters, access, before, after, function, summed, whole)
        raise ValueError(f"it computes no finite number; {INPUTS_TO_BLAME}")

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
            if expected.wide and expected.sums is not None:
                plain = compare_with_wide(expected.wide[i], after, array, plain, expected.sums, expected.whole)
            yield f"parameter {i} (written)", plain
        else:
            yield f"parameter {i} (input)", same_bytes(before, array)


def _has_finite(array: Array) -> bool:
    """Whether there is anything to compare; an array without elements has nothing to differ in."""
    return not array.size or not is_float(array.dtype) or bool(np.isfinite(array).any())
