"""Which of two equal candidates a reduction keeps that chooses among candidates: the largest element, and where it is.

Such a reduction compares a key of the candidate that it has with the same key of the other one. There are three answers
to each comparison, so all that it can do is tried out. Candidates may be merged in any order if no answer depends on
theirs. If only equal keys do, one of them is kept because it came first, or last, and they are merged by their places.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.tirx import Select

from colt.tvm.programs.walks import mutated

Sign = int
"""-1 if the present candidate's key is below the other's, 0 if they are equal, 1 if it is above."""


class Kept(Enum):
    """Which of two candidates whose keys are equal."""

    EITHER = "that does not depend on which came first"
    FIRST = "the one that came first"
    LAST = "the one that came last"


def kept(results: Sequence[Any], present: Sequence[Any], others: Sequence[Any]) -> Kept | None:
    """What a reduction keeps that makes ``results`` of the elements of the present candidate and of the other one;
    ``None`` if it does anything else than to choose one by comparisons."""
    try:
        return _Trial(results, present, others).kept()
    except _Unclear:
        return None


class _Unclear(Exception):
    """The reduction does something else."""


_ANSWERS: Mapping[Any, tuple[Sign, ...]] = {
    tirx.LT: (-1,),
    tirx.LE: (-1, 0),
    tirx.EQ: (0,),
    tirx.NE: (-1, 1),
    tirx.GE: (0, 1),
    tirx.GT: (1,),
}
"""The signs for which a comparison of the present candidate with the other is true."""


class _Trial:
    def __init__(self, results: Sequence[Any], present: Sequence[Any], others: Sequence[Any]) -> None:
        self._results, self._present, self._others = results, present, others
        self._keys: list[Any] = []
        """The keys of the present candidate."""
        for result in results:
            self._find_keys(result)

    def kept(self) -> Kept | None:
        """See :func:`kept`."""
        cases = list(itertools.product((-1, 0, 1), repeat=len(self._keys)))
        open_ = [signs for signs in cases if not self._commutes(signs)]
        if not open_:
            return Kept.EITHER
        if len(self._keys) != 1 or open_ != [(0,)]:
            return None
        whole = all(len({self._stays(result, signs) for result in self._results}) == 1 for signs in ((-1,), (1,)))
        apart = [result for number, result in enumerate(self._results) if not self._same(number, (0,))]
        stay = {self._stays(result, (0,)) for result in apart}
        return None if not whole or len(stay) > 1 else Kept.FIRST if stay.pop() else Kept.LAST

    def _commutes(self, signs: tuple[Sign, ...]) -> bool:
        """Whether the same candidate is chosen if the two change places."""
        back = tuple(-sign for sign in signs)
        return all(
            self._same(number, signs) or self._stays(result, signs) != self._stays(result, back)
            for number, result in enumerate(self._results)
        )

    def _same(self, number: int, signs: tuple[Sign, ...]) -> bool:
        """Whether both candidates have the same in this place: it is a key, and the keys are equal."""
        return any(_equal(key, self._present[number]) and not sign for key, sign in zip(self._keys, signs, strict=True))

    # ---- the expressions ----

    def _find_keys(self, node: Any) -> None:
        if isinstance(node, Select):
            for part in (node.condition, node.true_value, node.false_value):
                self._find_keys(part)
        elif isinstance(node, tirx.And | tirx.Or | tirx.Not):
            for part in (node.a, node.b) if not isinstance(node, tirx.Not) else (node.a,):
                self._find_keys(part)
        elif type(node) in _ANSWERS:
            key = self._key(node)[0]
            if not any(_equal(key, one) for one in self._keys):
                self._keys.append(key)
        elif not any(_equal(node, one) for one in (*self._present, *self._others)):
            raise _Unclear

    def _key(self, comparison: Any) -> tuple[Any, bool]:
        """What is compared of the present candidate, and whether that stands on the left."""
        for key, opposite, left in ((comparison.a, comparison.b, True), (comparison.b, comparison.a, False)):
            if _equal(self._exchanged(key), opposite) and not _equal(key, opposite) and self._is_of_present(key):
                return key, left
        raise _Unclear

    def _exchanged(self, key: Any) -> Any:
        """The same of the other candidate."""
        return with_elements(key, self._present, self._others)

    def _is_of_present(self, key: Any) -> bool:
        """Whether nothing of the other candidate is in it."""
        return _equal(with_elements(key, self._others, self._present), key)

    def _holds(self, condition: Any, signs: tuple[Sign, ...]) -> bool:
        if isinstance(condition, tirx.Not):
            return not self._holds(condition.a, signs)
        if isinstance(condition, tirx.And):
            return self._holds(condition.a, signs) and self._holds(condition.b, signs)
        if isinstance(condition, tirx.Or):
            return self._holds(condition.a, signs) or self._holds(condition.b, signs)
        if type(condition) not in _ANSWERS:
            raise _Unclear
        key, left = self._key(condition)
        sign = next(sign for one, sign in zip(self._keys, signs, strict=True) if _equal(one, key))
        return (sign if left else -sign) in _ANSWERS[type(condition)]

    def _stays(self, result: Any, signs: tuple[Sign, ...]) -> bool:
        """Whether the result is that of the present candidate."""
        while isinstance(result, Select):
            result = result.true_value if self._holds(result.condition, signs) else result.false_value
        return any(_equal(result, one) for one in self._present)


def with_elements(node: Any, old: Sequence[Any], new: Sequence[Any]) -> Any:
    """The expression or statement with other expressions in place of these."""

    def expression(node: Any, mutator: Any) -> Any:
        for one, other in zip(old, new, strict=True):
            if _equal(node, one):
                return other
        return mutator.default_mutate(node)

    return mutated(node, (tvm.ir.Expr, expression))


def _equal(one: Any, other: Any) -> bool:
    return bool(tvm_ffi.structural_equal(one, other))
