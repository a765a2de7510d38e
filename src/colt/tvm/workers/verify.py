"""Run a candidate and the untuned program on the same inputs and compare what they leave in their parameters."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tvm
import tvm_ffi

from colt.measure.base import Verification
from colt.tvm.workers.access import ParameterAccess, analyse
from colt.tvm.workers.arguments import Array, Signature, poisoned_array, random_array, signature
from colt.tvm.workers.compare import Difference, compare, same_bytes, verdict
from colt.tvm.workers.kernel import entry_function
from colt.tvm.workers.messages import Stage
from colt.tvm.workers.place import Place

_REFERENCE, _CANDIDATE = 0, 1
_KEPT = 2

Announce = Callable[[Stage, int], None]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reference starts from and what it leaves, by parameter."""

    signature: Signature
    access: ParameterAccess
    before: tuple[Array, ...]
    after: tuple[Array, ...]


class Verifier:
    """Keeps the last references' results: one run of an untuned program can take a minute."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept: OrderedDict[tuple[int, int], Expected] = OrderedDict()

    def verify(self, reference: tvm.IRModule, candidate: tvm.IRModule, seed: int, announce: Announce) -> Verification:
        """Compare. ``announce`` is called with each stage and the program's index. Passes on what building and running
        raise."""
        expected = self._expected(reference, seed, announce)
        if signature(candidate) != expected.signature:
            return Verification(False, math.inf, math.inf, 0.0, "the parameters are not those of the reference")
        found = self._run(candidate, expected.before, _CANDIDATE, announce)
        announce(Stage.COMPARING, _CANDIDATE)
        return verdict(_differences(expected, found))

    def _expected(self, reference: tvm.IRModule, seed: int, announce: Announce) -> Expected:
        key = (tvm_ffi.structural_hash(reference), seed)
        if key not in self._kept:
            while len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = self._run_reference(reference, seed, announce)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _run_reference(self, reference: tvm.IRModule, seed: int, announce: Announce) -> Expected:
        announce(Stage.PREPARING, _REFERENCE)
        parameters, access = signature(reference), analyse(entry_function(reference))
        if not access.written:
            raise ValueError("the reference writes none of its parameters")
        before = tuple(
            poisoned_array(parameter) if i in access.poisonable else random_array(parameter, i, seed)
            for i, parameter in enumerate(parameters)
        )
        return Expected(parameters, access, before, self._run(reference, before, _REFERENCE, announce))

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
            yield f"parameter {i} (written)", compare(after, array)
        else:
            yield f"parameter {i} (input)", same_bytes(before, array)
