"""Boards behind TVM's RPC tracker as a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm.target import Target

from colt.machine import Hardware
from colt.measure.base import Limits, Measurer, Pace
from colt.tvm.devices.assumed import assumed_hardware, resolve_board_target
from colt.tvm.devices.base import USUAL_PACE, require_threads
from colt.tvm.devices.elsewhere import Elsewhere
from colt.tvm.workers import Board, BoardsMeasurer
from colt.tvm.workers.rpc import require_board

MOST_BOARD_THREADS = 1024


@dataclass(frozen=True, slots=True)
class BoardDevice(Elsewhere):
    """Kernels are built on this machine, and run on boards of one key. A :class:`~colt.tvm.devices.base.Device`."""

    board: Board
    target: Target
    threads: int
    assumptions: tuple[str, ...] = ()
    boards: int = 1
    """How many boards of the key measure at the same time."""

    place = "the board"
    why_no_peaks = "the peaks of a board are not known"

    @classmethod
    def resolved(
        cls, board: Board, target: str | Mapping[str, Any] | Target | None, threads: int | None, boards: int = 1
    ) -> BoardDevice:
        """The boards, for :func:`~colt.tvm.devices.assumed.resolve_board_target` of ``target`` and ``threads``.

        Raises :class:`~colt.errors.InputError`; whether the board is there is not looked at.
        """
        require_threads(threads, MOST_BOARD_THREADS)
        found = resolve_board_target(target, threads)
        return cls(board, found.target, found.threads, found.assumptions, boards)

    @property
    def address(self) -> str:
        """The tracker and the key."""
        return str(self.board)

    def to_config(self) -> Mapping[str, str]:
        """See :meth:`Device.to_config`."""
        return {"rpc": self.board.address, "key": self.board.key}

    def look(self) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`Device.look`: the tracker is asked for the board, whose hardware is what the target says."""
        require_board(self.board)
        return assumed_hardware(self.target), self.assumptions

    def measurer(
        self, limits: Limits | None = None, *, peak_gflops: float | None = None, pace: Pace = USUAL_PACE
    ) -> Measurer:
        """See :meth:`Device.measurer`."""
        return BoardsMeasurer(self.target, self.threads, limits, board=self.board, boards=self.boards, pace=pace)
