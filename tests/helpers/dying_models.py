"""Models with open sizes that end the process that compiles them for any size."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from colt.models import other_sizes
from colt.tvm.models.graph import Array, Graph, OpenModel


@dataclass(frozen=True)
class Dying:
    """The model of ``source``, which dies at one of :data:`PLACES` where its sizes are open."""

    source: OpenModel
    place: str

    @property
    def axes(self) -> tuple[tuple[int | str, ...], ...]:
        return self.source.axes

    def at(self, sizes: Mapping[str, int]) -> Graph:
        return self.source.at(sizes)

    def opened(self, sizes: Mapping[str, int]) -> Graph:
        PLACES[self.place]()
        return self.source.opened(sizes)

    def example(self, sizes: Mapping[str, int]) -> tuple[Array, ...]:
        return self.source.example(sizes)


def _reads_what_is_not_there(*arguments: Any, **named: Any) -> NoReturn:
    ctypes.string_at(1)
    raise AssertionError("it lives")


def _ends_quietly(*arguments: Any) -> NoReturn:
    os._exit(0)


def _raises() -> NoReturn:
    raise RuntimeError("torn\nfrom\x1b the middle")


def _in_a_pass() -> None:
    other_sizes.fused = _reads_what_is_not_there


def _in_a_call() -> None:
    other_sizes.ModelLibrary.__call__ = _ends_quietly  # type: ignore[method-assign]


PLACES = {"import": _raises, "pass": _in_a_pass, "call": _in_a_call}
"""Where it dies, and what makes the process do so: an exception, a signal, and an end without either."""
