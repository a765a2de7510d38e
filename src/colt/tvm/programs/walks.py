"""Walks over programs, which take no longer than there is to look at.

``tvm_ffi`` works out in each call which types its callbacks are for, and what arguments they take. That takes longer
than most of our walks: over an index, or over what one store stores. Here it is worked out once for each type, and
callbacks take what they always do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import tvm_ffi
from tvm_ffi.core import TypeSchema

Rule = tuple[Any, Callable[..., Any]]
"""A type of nodes, or several, and what is called with each of them."""
_WALK, _MAP, _MUTATE = (tvm_ffi.get_global_func(f"ffi.Structural{name}") for name in ("Walk", "Map", "Mutate"))
_PRE, _POST = 0, 1
_NO_REGIONS: tuple[()] = ()
_IN_PLACE = False


def walk(node: Any, *rules: Rule, pre: bool = False) -> bool:
    """Call the first rule for each node's type with the node, after those below it, or before (``pre``).

    A rule returns ``None`` to go on, ``WalkResult.SKIP`` to leave out what is below, or a ``VisitInterrupt`` to end the
    walk. Whether it was ended is returned.
    """
    return _WALK(node, _indexed(rules), _NO_REGIONS, _PRE if pre else _POST) is not None


def every(node: Any, kind: Any, pre: bool = False) -> list[Any]:
    """The nodes of this type, at each place where they occur, in the order of :func:`walk`."""
    found: list[Any] = []
    walk(node, (kind, found.append), pre=pre)
    return found


def mapped(node: Any, *rules: Rule) -> Any:
    """The node with what the first rule for a node's type returns in place of each, from the inside out."""
    return _MAP(node, _indexed(rules), _NO_REGIONS, _POST)


def mutated(node: Any, *rules: Rule) -> Any:
    """The node with what the first rule for a node's type returns for the node and a mutator, which is what goes below
    it (``mutate``, ``default_mutate``) or does not."""
    return _MUTATE(node, [(*one, _IN_PLACE) for one in _indexed(rules)])


def _indexed(rules: tuple[Rule, ...]) -> list[tuple[int, Callable[..., Any]]]:
    return [(index, rule) for kind, rule in rules for index in _indices(kind)]


@cache
def _indices(kind: Any) -> tuple[int, ...]:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return tuple(int(TypeSchema.from_annotation(one).origin_type_index) for one in kinds)
