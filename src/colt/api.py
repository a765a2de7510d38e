"""COLT from Python: what :mod:`colt` offers, for whoever does not mind that TVM is loaded at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from colt.events import Began, Emit
from colt.models.bucket import compile_any
from colt.models.compiled import CompiledModel
from colt.models.loading import load
from colt.models.options import CompileOptions
from colt.models.sized import SizedModel
from colt.models.torch_report import TorchReport, torch_report
from colt.options import TuneOptions
from colt.plan import checked
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.replay import Replay, replay
from colt.run.resume import resume
from colt.util.declared import options_of, takes
from colt.util.text import did_you_mean
from colt.util.waiting import told_of_waiting

__all__ = [
    "CompiledModel",
    "Replay",
    "Result",
    "SizedModel",
    "TorchReport",
    "compile",
    "load",
    "replay",
    "resume",
    "torch_report",
    "tune",
]


@takes(TuneOptions)
def tune(program: Any, options: TuneOptions) -> Result:
    """Search for a fast schedule of a program, measure it on this machine or a board, verify it.

    Parameters
    ----------
    program
        A workload's name, ``"file.py:name"``, a PrimFunc, or an IRModule with one PrimFunc.
    {options}

    Raises
    ------
    InputError
        Something asked for is not usable; nothing was written.
    MeasureError
        The untuned program does not build or run, no worker starts, or no board can be had.
    """
    with _told_of_waiting(options.on_event):
        made = checked(program, options)
    (result,) = run(made, options.on_event)
    return result


def compile(
    model: Any, example_inputs: Sequence[Any] | Mapping[str, Any] | None = None, **options: Any
) -> CompiledModel | SizedModel:
    """Compile a whole model: tune its programs within one budget, put them together, compare the whole.

    With the option ``sizes`` it is compiled for several sizes, and the result is a :class:`SizedModel`.

    Parameters
    ----------
    model
        A ``torch.nn.Module``, a ``torch.export`` program, or the path of a ``.pt2`` or ``.onnx`` file or of a
        ``FILE.py:NAME``.
    example_inputs
        What a module is exported with, and every model compared and timed with: tensors or arrays, in order or by name
        in a dictionary. A file has its own if left out.
    options
        Those of :class:`colt.models.options.CompileOptions`, by name: ``minutes=10``.

    Raises
    ------
    InputError
        The model cannot be imported, or an option is not usable.
    MeasureError
        No worker starts.
    StorageError
        Temporary files cannot be written.
    """
    known = options_of(CompileOptions)
    for name in options:
        if name not in known:
            raise TypeError(f"compile() has no option {name!r}; {did_you_mean(name, list(known))}")
    given = CompileOptions(**options)
    with _told_of_waiting(given.on_event):
        return compile_any(model, example_inputs, given)


def _told_of_waiting(listeners: Sequence[Emit]) -> AbstractContextManager[None]:
    """Inside, they are told what is waited for, as by a run that has begun."""

    def tell(text: str) -> None:
        for listener in listeners:
            listener(Began(text))

    return told_of_waiting(tell, instead=False)
