"""How the inputs of programs come about, kept by program: what one run of the untuned program has settled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import tvm_ffi

from colt.errors import MeasureError, StorageError
from colt.measure.base import INPUTS_TO_BLAME, Inputs
from colt.tvm.programs.arrays import write_numbered
from colt.tvm.programs.domains import domains
from colt.tvm.programs.inputs import UserInputs
from colt.tvm.workers.arguments import Drawing, positive, signature
from colt.tvm.workers.conversation import Exchange
from colt.tvm.workers.kernel import entry_function
from colt.tvm.workers.messages import Settled, SettleRequest


class Drawings:
    """Drawings of inputs, by program, seed and what the user gave; the user's arrays as files for the workers."""

    def __init__(self) -> None:
        self._settled: dict[tuple[int, int, int], tuple[Inputs, Drawing]] = {}
        self._stored: list[UserInputs] = []
        """Inputs whose arrays are in the folder."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def settled(self, inputs: Inputs, ask: Callable[[SettleRequest], Exchange]) -> Drawing:
        """How the inputs come about. They are tried out on the untuned program once, by whomever ``ask`` asks: where it
        computes nothing finite, floats are drawn positive. Raises :class:`MeasureError` if that does not help either.
        """
        key = int(tvm_ffi.structural_hash(inputs.untuned)), inputs.seed, id(inputs.given)
        if key in self._settled:
            return self._settled[key][1]
        drawing = self.unsettled(inputs)
        reply = ask(SettleRequest(inputs.untuned, drawing)).reply
        if isinstance(reply, Settled):  # else timing will say what is wrong with the program
            if not reply.finite:
                raise MeasureError(f"the untuned program computes no finite number; {INPUTS_TO_BLAME}")
            if reply.positive:
                drawing = positive(signature(inputs.untuned), drawing)
        self._settled[key] = inputs, drawing
        return drawing

    def unsettled(self, inputs: Inputs) -> Drawing:
        """The same before the program was run. Raises :class:`StorageError` if the user's arrays cannot be written."""
        try:
            derived = domains(entry_function(inputs.untuned))
        except (TypeError, ValueError):  # the worker says what is wrong with it
            return Drawing(seed=inputs.seed)
        if inputs.given is None:
            return Drawing(derived, inputs.seed)
        given: UserInputs = inputs.given
        chosen = tuple(given.ranges.get(number, domain) for number, domain in enumerate(derived))
        stored = frozenset(given.arrays)
        return Drawing(chosen, inputs.seed, self._file(given), stored, stored | frozenset(given.ranges))

    def close(self) -> None:
        """Remove the files. May be repeated."""
        if self._folder is not None:
            self._folder.cleanup()

    def _file(self, given: UserInputs) -> str | None:
        """Where the workers find the user's arrays."""
        if not given.arrays:
            return None
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="colt-inputs-")
        path = Path(self._folder.name) / f".inputs-{id(given)}.npz"
        if given not in self._stored:
            try:
                write_numbered(path, given.arrays)
            except OSError as error:
                raise StorageError(f"{path} cannot be written: {error.strerror or error}") from None
            self._stored.append(given)
        return str(path)
