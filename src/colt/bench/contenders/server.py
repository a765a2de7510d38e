"""The process that runs contenders: ``python -m colt.bench.contenders.server SETTINGS REPLIES PARENT``.

``SETTINGS`` is the JSON of :class:`~colt.bench.contenders.messages.Settings`. ``REPLIES`` is the number of a separate
file descriptor, since libraries may print to standard output. The process prepares its contenders one by one and
reports on each; then it carries out orders until its input ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from colt.bench.contenders.contender import Array, Contender, Maker, NotApplicable, first_runs, lap, load_array
from colt.bench.contenders.messages import LONGEST_PROBLEM, Order, PeerFamily, Prepared, Settings
from colt.util.process import die_with_parent


def main(arguments: list[str]) -> None:
    """Prepare the contenders, then run them on order until the other side closes."""
    settings = msgspec.json.decode(arguments[0], type=Settings)
    replies, parent = map(int, arguments[1:])
    die_with_parent(parent)
    os.set_inheritable(replies, False)  # compilers that a library starts must not keep it open
    ready: dict[str, Contender] = {}
    for name, maker in _makers(settings, [load_array(path) for path in settings.inputs]):
        _send(replies, _prepare(name, maker, Path(settings.folder), ready))
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        _send(replies, lap(ready[order.name], order.seconds))


def _makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    if settings.family is PeerFamily.KERNELS:
        from colt.bench.contenders import kernels

        return kernels.makers(settings, inputs)
    if settings.family is PeerFamily.NUMPY:
        from colt.bench.contenders import numpy_peer

        return numpy_peer.makers(settings, inputs)
    if settings.family is PeerFamily.ONNX_RUNTIME:
        from colt.bench.contenders import onnx_peer

        return onnx_peer.makers(settings, inputs)
    if settings.family is PeerFamily.MODEL:
        from colt.bench.contenders import model_peers

        return model_peers.makers(settings, inputs)
    from colt.bench.contenders import torch_peer

    return torch_peer.makers(settings, inputs)


def _prepare(name: str, maker: Maker, folder: Path, ready: dict[str, Contender]) -> Prepared:
    try:
        contender = maker()
        output, us = first_runs(contender)
    except NotApplicable:
        return Prepared(name)
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the problem
        lines = f"{type(error).__name__}: {error}".strip().splitlines()
        return Prepared(name, problem=lines[0][:LONGEST_PROBLEM])
    path = folder / f"{name}.npy"
    np.save(path, output)
    ready[name] = contender
    return Prepared(name, str(path), us)


def _send(fd: int, message: msgspec.Struct) -> None:
    os.write(fd, msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
