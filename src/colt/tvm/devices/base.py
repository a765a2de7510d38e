"""The contract of a device: where kernels run, what to compile for, what is known of it, and who measures there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tvm.target import Target

from colt.errors import ArgumentError
from colt.machine import Hardware, Peaks
from colt.measure.base import Limits, Measurer, Pace
from colt.tvm.devices.hold import Hold

USUAL_PACE = Pace()


class Device(Protocol):
    """A value: it holds nothing open. ``resolve.py`` makes one of what a user names."""

    @property
    def place(self) -> str:
        """What messages call it, such as ``this machine``."""
        ...

    @property
    def address(self) -> str | None:
        """Where it is, for the receipt; ``None`` if kernels run on this machine."""
        ...

    @property
    def target(self) -> Target:
        """What to compile for."""
        ...

    @property
    def threads(self) -> int:
        """The threads that kernels use there."""
        ...

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the user did not say of it, in words."""
        ...

    @property
    def why_no_peaks(self) -> str | None:
        """Why its peaks, and with them shares of the roofline, cannot be known; ``None`` if :meth:`look` gives them."""
        ...

    @property
    def remeasures(self) -> bool:
        """Whether a peak that a kernel exceeds is measured again by :meth:`look_again`, and kept by
        :meth:`keep_peaks`."""
        ...

    @property
    def kernel_name(self) -> str:
        """The file that the kernel becomes in a run directory."""
        ...

    @property
    def why_not_linked(self) -> str | None:
        """Why that is a file of objects; ``None`` if it is a shared library."""
        ...

    def to_config(self) -> Mapping[str, str]:
        """What names it in the config of a run, beside ``target`` and ``threads``."""
        ...

    def hold(self) -> Hold:
        """Leave to measure there, once nobody measures there alone; what takes long is told to whoever listens
        (:mod:`colt.util.waiting`). To be asked before :meth:`look`, and closed after the measurer.

        Raises
        ------
        MeasureError
            It takes longer than :data:`~colt.util.waiting.LONGEST_S`.
        """
        ...

    def look(self) -> tuple[Hardware, tuple[str, ...]]:
        """The hardware with its peaks as far as they can be known, and what the user should know about that.

        May take seconds.

        Raises
        ------
        MeasureError
            The device is not there, or its peaks cannot be measured.
        """
        ...

    def look_again(self, hardware: Hardware) -> tuple[Hardware, tuple[str, ...]]:
        """The hardware after another measurement, in which no peak is lower than it was, and notes as above.

        A measurement that fails is a note. Where no peaks can be known ``hardware`` is returned as it is.
        """
        ...

    def keep_peaks(self, hardware: Hardware, peaks: Peaks) -> None:
        """Keep peaks for later runs, if this device's are kept: a kernel has shown them."""
        ...

    def measurer(
        self, limits: Limits | None = None, *, peak_gflops: float | None = None, pace: Pace = USUAL_PACE
    ) -> Measurer:
        """A started measurer for kernels there, to be closed. ``peak_gflops`` is the FMA peak with :attr:`threads`."""
        ...


def require_threads(threads: int | None, most: int, whose: str = "") -> None:
    """See that ``threads``, if it is given, is a number of threads that a device has. Raises :class:`InputError`."""
    if threads is not None and (type(threads) is not int or not 1 <= threads <= most):
        raise ArgumentError("threads", f"is {threads!r}; it takes an integer from 1 to {most}{whose}")
