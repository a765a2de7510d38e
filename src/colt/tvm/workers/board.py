"""A board: a machine that TVM's RPC tracker lends out under a key."""

from __future__ import annotations

from dataclasses import dataclass

from colt.errors import ArgumentError
from colt.measure.seats import SeatLost


class BoardLost(SeatLost):
    """There is no board to run on, and no candidate is to blame; the text says why."""


_ADDRESS = "HOST:PORT of a tracker (python -m tvm.exec.rpc_tracker), such as 192.168.0.10:9190"
_KEY = "the key that the board's server was started with (python -m tvm.exec.rpc_server --key KEY)"
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Board:
    """Where the tracker listens, and the key of the boards to use there."""

    host: str
    port: int
    key: str

    @classmethod
    def parse(cls, address: object, key: object) -> Board | None:
        """The board that a user named; ``None`` if both are ``None``. Raises :class:`InputError`."""
        if address is None and key is None:
            return None
        if address is None:
            raise ArgumentError("rpc", f"is missing: a key is for a board; it takes {_ADDRESS}", ("key",))
        if not isinstance(address, str):
            raise ArgumentError("rpc", f"is {address!r}; with a key it takes {_ADDRESS}")
        host, separator, digits = address.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")  # of an IPv6 address
        port = int(digits) if digits.isdecimal() and digits.isascii() else 0
        if not separator or not host or not 1 <= port <= _MAX_PORT:
            raise ArgumentError("rpc", f"is {address!r}; it takes {_ADDRESS}")
        # The server splits the request at blanks.
        if not isinstance(key, str) or not key or key.split() != [key]:
            raise ArgumentError("key", f"is {key!r}; with rpc it takes {_KEY}, without blanks")
        return cls(host, port, key)

    @property
    def address(self) -> str:
        """The tracker as ``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.address}, key {self.key}"
