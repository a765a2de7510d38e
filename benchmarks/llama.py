"""Llama-3-8B from end to end, one token after another and 128 at once: tokens a second, and the share of the roofline.

    .venv/bin/python benchmarks/llama.py --out DIR [--minutes 5] [--cast bf16]     # goes on where it stopped
    .venv/bin/python benchmarks/llama.py --out DIR --size tiny --minutes 0.1       # whether it works

The model is 32 equal layers and a head. One layer is tuned with 128 tokens (prefill) and one with a single token after
511 others in its cache (decode); the head (norm and 128,256 logits) with one token. Weights are random, and of one
layer alone larger than any cache, so that 32 layers take 32 times as long as one. Embedding is a lookup, and left out.

The roofline of decode is that of memory: each weight, and what the cache holds of keys and values, is read once for
each token. That of prefill is computing, and of float32: products of bfloat16 may exceed it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colt.machine import detect, load_peaks
from whole_models import llama_layer

STEPS, PAST = 128, 511


@dataclass(frozen=True)
class Size:
    """``groups`` heads share keys and values."""

    layers: int
    hidden: int
    heads: int
    groups: int
    inner: int
    words: int


SIZES = {
    "8b": Size(layers=32, hidden=4096, heads=32, groups=4, inner=14336, words=128_256),
    "tiny": Size(layers=2, hidden=256, heads=4, groups=2, inner=512, words=1000),
}
"""``tiny`` fits into caches: its figures mean nothing."""


def prefill(size: Size) -> tuple[Any, tuple[Any, ...]]:
    """A layer, 128 tokens at once."""
    import torch

    return llama_layer(0, size.hidden, size.heads, size.groups, size.inner), (torch.randn(1, STEPS, size.hidden),)


def decode(size: Size) -> tuple[Any, tuple[Any, ...]]:
    """A layer, one token after 511."""
    import torch

    past = (torch.randn(1, size.heads // size.groups, PAST, size.hidden // size.heads) for _ in range(2))
    layer = llama_layer(PAST, size.hidden, size.heads, size.groups, size.inner)
    return layer, (torch.randn(1, 1, size.hidden), *past)


def head(size: Size) -> tuple[Any, tuple[Any, ...]]:
    """Logits of one token."""
    import torch

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.RMSNorm(size.hidden, eps=1e-5)
            self.words = torch.nn.Linear(size.hidden, size.words, bias=False)

        def forward(self, x: Any) -> Any:
            return self.words(self.norm(x))

    torch.manual_seed(0)  # a compilation that goes on finds the same weights
    return Head(), (torch.randn(1, size.hidden),)


PARTS = (prefill, decode, head)


def _named(part: Callable[[Size], Any], size: Size) -> Callable[[], Any]:
    return lambda: part(size)


for _name, _size in SIZES.items():
    globals().update({f"{part.__name__}_{_name}": _named(part, _size) for part in PARTS})  # as FILE.py:NAME


def compiled(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """The manifest of a part, compiled unless it is there."""
    path = asked.out / f"{name}.colt"
    if not path.exists():
        options = ["--minutes", str(asked.minutes), "--records", str(asked.out / "records.db"), "--json"]
        options += [] if asked.cast is None else ["--cast", asked.cast]
        spec = f"{Path(__file__).resolve()}:{name}_{asked.size}"
        _colt("compile", spec, *options, "--run", str(asked.out / f"run-{name}"), "-o", str(path))
    found: dict[str, Any] = json.loads(_colt("show", str(path), "--json"))
    if found["products"] != ("bfloat16" if asked.cast else ""):
        raise SystemExit(f"{path} was compiled with another --cast: name another directory")
    return found


def _colt(*arguments: str) -> str:
    command = [sys.executable, "-m", "colt.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: its outputs differ, which the table says
        raise SystemExit(f"colt {' '.join(arguments)} ended with exit code {done.returncode}")
    return done.stdout


def bytes_of(tensors: list[dict[str, Any]]) -> int:
    """What tensors of a manifest take."""
    return sum(math.prod(one["shape"]) * _bits(one["dtype"]) // 8 for one in tensors)


def _bits(dtype: str) -> int:
    return int("".join(filter(str.isdigit, dtype)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=5.0, help="of tuning each part")
    parser.add_argument("--cast", choices=["bf16"])
    parser.add_argument("--size", choices=list(SIZES), default="8b")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    parts = {part.__name__: compiled(part.__name__, asked) for part in PARTS}
    layers = SIZES[asked.size].layers
    ms = {name: part["timed"]["tuned_ms"] for name, part in parts.items()}
    threads = parts["decode"]["threads"]
    peaks = load_peaks(detect(), threads)
    print(f"{detect().cpu}, {threads} threads; Llama {asked.size}, {asked.cast or 'float32'}, random weights")
    for name, part in parts.items():
        compared = part["compared"]
        print(
            f"{name:8} {ms[name]:9.3f} ms, weights {bytes_of(part['weights']) / 2**20:7.1f} MiB, error "
            f"{max(compared['errors']):.1e}{'' if compared['ok'] else '; OUTPUTS DIFFER'}"
        )
    token_ms = layers * ms["decode"] + ms["head"]
    first_ms = layers * ms["prefill"] + ms["head"]
    print(f"decode   {1e3 / token_ms:.2f} tokens a second ({token_ms:.3g} ms each)")
    print(f"prefill  {1e3 * STEPS / first_ms:.1f} tokens a second ({first_ms:.3g} ms for {STEPS})")
    if peaks is None or not peaks.measured:
        print("the machine's peaks are not measured: no share of a roofline")
        return
    cache = bytes_of(parts["decode"]["inputs"])
    read = layers * (bytes_of(parts["decode"]["weights"]) + cache) + bytes_of(parts["head"]["weights"])
    least_ms = read / peaks.bandwidth_gbs / 1e6
    print(f"decode   {least_ms / token_ms:.0%} of the memory roofline ({peaks.bandwidth_gbs:.0f} GB/s)")
    flops = sum(task["calls"] * (task["flops"] or 0) for task in parts["prefill"]["tasks"]) * layers
    least_ms = flops / peaks.fma_gflops_all_threads / 1e6
    print(f"prefill  {least_ms / first_ms:.0%} of the float32 roofline ({peaks.fma_gflops_all_threads:.0f} GFLOPS)")


if __name__ == "__main__":
    main()
