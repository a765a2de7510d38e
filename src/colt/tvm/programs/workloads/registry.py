"""The lists of workloads."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from colt.errors import InputError
from colt.tvm.programs.workloads.base import Workload
from colt.util.text import nearest

Group = Literal["main", "low-precision", "held-out", "held-out-low"]

# A name is also the file's, with underscores; files are imported when asked for, since that imports TVM.
_NAMES: dict[Group, tuple[str, ...]] = {
    "main": (
        "matmul",
        "llama3-attention",
        "deepseek-r1-moe",
        "deepseek-r1-experts",
        "flux-attention",
        "flux-conv",
        "llama4-scout-mlp",
    ),
    "low-precision": (
        "quantised-linear",
        "bf16-matmul",
        "bf16-attention",
        "int4-linear",
        "int4-linear-16",
        "int4-int8-linear",
        "int4-int8-linear-16",
        "int8-conv",
        "int8-depthwise-conv",
        "int8-grouped-conv",
    ),
    "held-out": (
        "matmul-nt",
        "matmul-tn",
        "matmul-prime",
        "gemv",
        "batch-matmul-epilogue",
        "separable-conv",
        "layer-norm",
        "group-norm",
        "gru-cell",
        "l1-distance",
        "column-logsumexp",
        "matmul-int8",
    ),
    "held-out-low": (
        "matmul-u8s8-prime",
        "int8-dilated-conv",
        "requantise",
        "bf16-gated-mlp",
        "bf16-layer-norm",
        "fp16-matmul",
        "int4-gemv-by-columns",
        "softmax-odd",
        "int8-attention-scores",
        "transposed-conv",
        "causal-conv1d",
        "fp16-row-norms",
    ),
}
_PACKAGES: dict[Group, str] = {
    "main": __package__,
    "low-precision": __package__,
    "held-out": f"{__package__}.held_out",
    "held-out-low": f"{__package__}.held_out_low",
}

GROUPS: dict[Group, str] = {
    "main": "layers that stand in for model serving, and a matrix product",
    "low-precision": "layers in fewer bits, as they are served",
    "held-out": "programs of other kinds, which COLT was not made for",
    "held-out-low": "such programs in few bits, and awkward ones",
}
"""The groups of workloads, and what they hold."""


def names(group: Group = "main") -> tuple[str, ...]:
    """The names of a group's workloads."""
    return _NAMES[group]


def get(name: str) -> Workload[Any]:
    """The workload of that name, of any group.

    Raises
    ------
    InputError
        There is none; the message names the ones with similar names, or all.
    """
    for group, known in _NAMES.items():
        if name in known:
            workload: Workload[Any] = import_module(f"{_PACKAGES[group]}.{name.replace('-', '_')}").WORKLOAD
            return workload
    raise InputError(f"there is no workload {name!r}; {_hint(name)}")


def _hint(name: str) -> str:
    everything = [known for group in _NAMES.values() for known in group]
    near = nearest(name.lower(), everything)
    near += [known for known in everything if name and name.lower() in known and known not in near]
    listed = ", ".join(everything)
    return f"did you mean {' or '.join(near)}? There are {listed}" if near else f"there are {listed}"
