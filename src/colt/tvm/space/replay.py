"""Replays a trace on the untuned module, decision by decision, and finishes it with the post-processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import s_tir

from colt.errors import Rejected
from colt.tvm.refusals import TVM_ERRORS, refused
from colt.util.streams import keeping_remarks
from colt.util.text import first_line

Decide = Callable[[int, Any, Any, Any], Any]
"""Called for each instruction with its number, the schedule so far, the live inputs and the decision in the trace;
returns the decision to take (``None``: TVM samples)."""


class Replayer:
    """Replays traces on one module. Only in a ``sound`` space blocks are kept from where TVM miscompiles them."""

    def __init__(self, mod: Any, postprocs: Sequence[Any], sound: bool = True) -> None:
        self.sound = sound
        self._postprocs = tuple(postprocs)
        # "fast" names an error without printing the program around it, which takes longer than some replays
        self._untuned = s_tir.Schedule(mod, debug_mask=0, error_render_level="fast")

    @refused("the program cannot be copied")
    def untuned(self) -> Any:
        """The program as given: a schedule with an empty trace. Raises :class:`Rejected`."""
        return self._untuned.copy()

    @keeping_remarks()
    def replay(self, trace: Any, seed: int, decide: Decide) -> Any:
        """The schedule after all of the trace's instructions, before the post-processors.

        Raises
        ------
        Rejected
            A primitive failed, or TVM did where ``decide`` asked it. What else that raises is passed on unchanged.
        """
        schedule = self.untuned()
        schedule.seed(seed)
        provider = _Provider(schedule, decide)
        try:
            trace.apply_to_schedule(schedule, remove_postproc=True, decision_provider=provider)
        except TVM_ERRORS as error:
            provider.raise_failure()
            raise Rejected(f"schedule primitive {provider.kind} failed: {first_line(error)}") from error
        provider.raise_failure()
        return schedule

    @keeping_remarks()
    def finish(self, schedule: Any) -> None:
        """Run the post-processors on a replayed schedule. Raises :class:`Rejected` if one fails."""
        schedule.enter_postproc()
        for postproc in self._postprocs:
            name = type(postproc).__name__
            try:
                fine = postproc.apply(schedule)
            except TVM_ERRORS as error:
                raise Rejected(f"post-processor {name} failed: {first_line(error)}") from error
            if not fine:
                raise Rejected(f"post-processor {name} refused the program")


class _Provider:
    """Hands instructions to ``decide``. An exception thrown through TVM loses its type, so it is kept here."""

    def __init__(self, schedule: Any, decide: Decide) -> None:
        self._schedule = schedule
        self._decide = decide
        self._number = -1
        self._failure: BaseException | None = None
        self.kind = ""

    def __call__(self, instruction: Any, live_inputs: Any, attrs: Any, decision: Any) -> Any:
        self._number += 1
        self.kind = str(instruction.kind.name)
        try:
            return self._decide(self._number, self._schedule, live_inputs, decision)
        except BaseException as error:
            self._failure = error
            raise

    def raise_failure(self) -> None:
        if isinstance(self._failure, RuntimeError):  # TVM's own
            raise Rejected(f"schedule primitive {self.kind} failed: {first_line(self._failure)}") from self._failure
        if self._failure is not None:
            raise self._failure
