"""Which parameters a program reads and which it writes, from its TensorIR."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm.s_tir.stmt import MatchBufferRegion, SBlock
from tvm.tirx import BufferStore, PrimFunc

from colt.tvm.programs.walks import every, walk

_ADDRESS_OF = "tirx.address_of"


@dataclass(frozen=True, slots=True)
class ParameterAccess:
    """Parameter indices. ``read`` are those whose contents before the call may matter."""

    read: frozenset[int]
    written: frozenset[int]

    @property
    def poisonable(self) -> frozenset[int]:
        """Parameters that are only ever written: whatever they held before must be gone or stay as it was."""
        return self.written - self.read

    @property
    def in_place(self) -> frozenset[int]:
        """Parameters that are read and written."""
        return self.written & self.read


def analyse(function: PrimFunc) -> ParameterAccess:
    """Find the parameters that ``function`` may read and may write.

    Errs on the side of both: a parameter that occurs anywhere but in a plain load or store (its address is taken, it
    is viewed as another buffer) counts as read and written. What a reduction's ``init`` writes does not count as read
    in the same block.
    """
    scan = _Scan()
    scan.walk(function.body, frozenset())
    escaped = {buffer for buffer, count in scan.seen.items() if count != scan.explained[buffer]} | scan.escaped
    read, written = scan.read | escaped, scan.written | escaped
    for view, source in scan.views:  # outer views come first, so go inside out
        read |= {source} if view in read else set()
        written |= {source} if view in written else set()
    return ParameterAccess(
        frozenset(i for i, parameter in enumerate(function.params) if parameter in read),
        frozenset(i for i, parameter in enumerate(function.params) if parameter in written),
    )


class _Scan:
    """Occurrences of variables, buffers among them, and how many of them loads, stores and regions explain."""

    def __init__(self) -> None:
        self.read: set[Any] = set()
        self.written: set[Any] = set()
        self.escaped: set[Any] = set()
        self.views: list[tuple[Any, Any]] = []
        self.seen: Counter[Any] = Counter()
        self.explained: Counter[Any] = Counter()

    def walk(self, node: Any, initialised: frozenset[Any]) -> None:
        """Visit ``node``; loads of ``initialised`` buffers are of values that the program itself put there."""

        def load(node: Any) -> None:
            self.explained[node.source] += 1
            if node.source not in initialised:
                self.read.add(node.source)

        def block(node: Any) -> tvm_ffi.WalkResult:
            if node.init is None:
                return tvm_ffi.WalkResult.ADVANCE
            self.walk(node.init, initialised)
            self.walk((node.reads, node.writes, node.match_buffers), initialised)
            self.walk(node.body, initialised | _stored(node.init))
            return tvm_ffi.WalkResult.SKIP

        walk(
            node,
            (SBlock, block),
            (BufferStore, self._store),
            (tvm.ir.TensorLoad, load),
            (tvm.ir.TensorRegion, self._region),
            (MatchBufferRegion, self._view),
            (tvm.ir.Call, self._call),
            (tvm.ir.Var, self._occurrence),
            pre=True,
        )

    def _store(self, node: Any) -> None:
        self.explained[node.buffer] += 1
        self.written.add(node.buffer)

    def _region(self, node: Any) -> None:
        self.explained[node.source] += 1

    def _view(self, node: Any) -> None:
        self.explained[node.buffer] += 1
        self.views.insert(0, (node.buffer, node.source.source))

    def _call(self, node: Any) -> None:
        if getattr(node.op, "name", "") == _ADDRESS_OF:
            self.escaped.update(argument.source for argument in node.args if isinstance(argument, tvm.ir.TensorLoad))

    def _occurrence(self, node: Any) -> None:
        self.seen[node] += 1


def _stored(init: Any) -> frozenset[Any]:
    return frozenset(store.buffer for store in every(init, BufferStore))
