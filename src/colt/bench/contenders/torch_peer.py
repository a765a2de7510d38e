"""PyTorch: eager, its fused attention, and compiled. Needs the extra ``bench``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from colt.bench.config import Peer
from colt.bench.contenders import torch_few_bits, torch_functions
from colt.bench.contenders.contender import Array, Contender, Maker, NotApplicable
from colt.bench.contenders.messages import Settings
from colt.bench.contenders.torch_functions import Function, Tensor
from colt.tvm.models.torch_calls import as_array, as_tensor

EAGER = torch_functions.EAGER | torch_few_bits.EAGER
"""What a user of PyTorch would write for each workload."""
FUSED = torch_functions.FUSED | torch_few_bits.FUSED
"""PyTorch's fused functions for attention; compiled instead of the eager ones."""


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The makers of PyTorch's contenders for the workload."""
    torch.set_num_threads(settings.threads)
    tensors = [as_tensor(array) for array in inputs]
    for member in settings.members:
        yield member.name, partial(_make, Peer(member.name), settings.workload, tensors)


def _make(peer: Peer, workload: str, tensors: Sequence[Tensor]) -> Contender:
    function = _function(peer, workload)

    def call() -> Tensor:
        with torch.inference_mode():
            return function(*tensors)

    return Contender(call, as_array)


def _function(peer: Peer, workload: str) -> Function:
    if peer is Peer.TORCH_COMPILE:
        compiled: Function = torch.compile(FUSED.get(workload, EAGER[workload]), fullgraph=True, dynamic=False)
        return compiled
    known = FUSED if peer is Peer.SDPA else EAGER
    if workload not in known:
        raise NotApplicable(f"{peer} has nothing for {workload}")
    return known[workload]
