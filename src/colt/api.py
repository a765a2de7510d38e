"""COLT from Python: what :mod:`colt` offers, for whoever does not mind that TVM is loaded at once."""

from __future__ import annotations

from typing import Any

from colt.options import TuneOptions
from colt.plan import checked
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.replay import Replay, replay
from colt.run.resume import resume
from colt.util.declared import takes

__all__ = ["Replay", "Result", "replay", "resume", "tune"]


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
    (result,) = run(checked(program, options), options.on_event)
    return result
