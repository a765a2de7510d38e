"""What a call of a compiled model costs beside its kernels, and how long a model takes to load.

    .venv/bin/python benchmarks/call_overhead.py [--model MODEL.colt]

The models add 1 to each of their inputs, of 16 numbers each, so that a call is nothing but what surrounds kernels:
checks of the inputs, TVM's virtual machine, and tensors made of the outputs. Beside them a call of a graph under
``torch.compile(model, backend="colt")``, which also looks whether parameters were written to (the last one has 100).
Given the file of a model, the seconds that it takes to load are printed, too. Each figure is the least of several
thousand calls in seven rounds.

To reach: under 20 us; under 1 s.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import colt
from colt.util.text import counted

CALLS, ROUNDS = 2000, 7
OPTIONS = {"minutes": 0.1, "use_records": False}


class Increments(torch.nn.Module):
    """So many inputs, each plus 1, and so many parameters, all of which the first output depends on."""

    def __init__(self, parameters: int) -> None:
        super().__init__()
        self.own = torch.nn.ParameterList(torch.zeros(16) for _ in range(parameters))

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        """The outputs."""
        first = inputs[0] + 1 + sum(self.own, torch.zeros(()))
        return first, *(one + 1 for one in inputs[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a compiled model, whose loading is timed")
    given = parser.parse_args()
    with torch.inference_mode():
        for tensors in (1, 4):
            torch.manual_seed(0)
            inputs = [torch.randn(16) for _ in range(tensors)]
            arrays = [one.numpy() for one in inputs]
            loaded, seconds = _loaded(Increments(0), inputs)
            ours, with_arrays = least_us(loaded, inputs), least_us(loaded, arrays)
            figures = f"{ours:.1f} us, with arrays of NumPy {with_arrays:.1f}; loaded in {seconds:.2f} s"
            print(f"{tensors} in, {tensors} out: {figures}")
        for parameters in (1, 100):
            model = torch.compile(Increments(parameters).eval(), backend="colt", dynamic=False, options=OPTIONS)
            empty = torch.compile(Increments(parameters).eval(), backend=_nothing, dynamic=False)
            ours, guards = least_us(model, inputs), least_us(empty, inputs)
            print(
                f"torch.compile, {counted(parameters, 'parameter')}: {ours:.1f} us, of which PyTorch takes {guards:.1f}"
            )
    if given.model is not None:
        started = perf_counter()
        colt.load(given.model)
        print(f"{given.model.name}: loaded in {perf_counter() - started:.2f} s")


def _nothing(graph: Any, examples: Sequence[Any]) -> Callable[..., Any]:
    """A backend whose graphs compute nothing: what is left is PyTorch's part of a call."""
    found = [torch.zeros(16)] * 4
    return lambda *arguments: found


def _loaded(model: Any, inputs: Sequence[Any]) -> tuple[Any, float]:
    with tempfile.TemporaryDirectory(prefix="colt-calls-") as folder:
        saved = colt.compile(model.eval(), tuple(inputs), **OPTIONS).save(Path(folder) / "model.colt")
        started = perf_counter()
        return colt.load(saved), perf_counter() - started


def least_us(call: Callable[..., Any], inputs: Sequence[Any]) -> float:
    """Microseconds that a call takes."""
    for _ in range(100):
        call(*inputs)
    rounds = []
    for _ in range(ROUNDS):
        started = perf_counter()
        for _ in range(CALLS):
            call(*inputs)
        rounds.append((perf_counter() - started) / CALLS * 1e6)
    return min(rounds)


if __name__ == "__main__":
    main()
