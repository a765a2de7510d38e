"""What devices have in common that are no part of this machine."""

from __future__ import annotations

from tvm.target import Target

from colt.machine import Hardware, Peaks
from colt.store.directory import KERNEL, KERNEL_OBJECTS
from colt.tvm.devices.hold import Hold
from colt.tvm.devices.host import architecture_of, is_foreign


class Elsewhere:
    """For devices whose ``target`` may be foreign, and whose peaks nobody here measures again."""

    __slots__ = ()
    target: Target

    remeasures = False

    @property
    def kernel_name(self) -> str:
        """See :attr:`~colt.tvm.devices.base.Device.kernel_name`."""
        return KERNEL if self.why_not_linked is None else KERNEL_OBJECTS

    @property
    def why_not_linked(self) -> str | None:
        """See :attr:`~colt.tvm.devices.base.Device.why_not_linked`; what is like this machine gets a shared library."""
        if not is_foreign(self.target):
            return None
        return f"{architecture_of(self.target)} is not linked here but where TVM loads it"

    def hold(self) -> Hold:
        """See :meth:`~colt.tvm.devices.base.Device.hold`: a board is had by lease, one by one."""
        return Hold()

    def look_again(self, hardware: Hardware) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`~colt.tvm.devices.base.Device.look_again`: a board's peaks are not known, and hosts of a fleet are
        measuring by then."""
        return hardware, ()

    def keep_peaks(self, hardware: Hardware, peaks: Peaks) -> None:
        """See :meth:`~colt.tvm.devices.base.Device.keep_peaks`; nothing is kept here."""
