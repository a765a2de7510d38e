"""Values by expressions, of which equal ones are one."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from tvm_ffi import structural_equal, structural_hash

T = TypeVar("T")


class ByStructure(Generic[T]):
    """A dictionary whose keys are expressions. TVM hashes variables by their addresses, and in long straight lines of
    arithmetic some expressions have the same hash now and then that are not equal."""

    def __init__(self) -> None:
        self._found: dict[int, list[tuple[Any, T]]] = {}

    def get(self, node: Any) -> T | None:
        """The value of an equal expression."""
        for one, value in self._found.get(structural_hash(node), ()):
            if one.same_as(node) or structural_equal(one, node):
                return value
        return None

    def put(self, node: Any, value: T) -> T:
        """Keep the value of an expression that has none; returns it."""
        self._found.setdefault(structural_hash(node), []).append((node, value))
        return value
