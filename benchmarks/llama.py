"""Llama-3-8B from end to end, one token after another and 128 at once: tokens a second, and the share of the roofline.

    .venv/bin/python benchmarks/llama.py --out DIR [--minutes 5] [--cast bf16]     # goes on where it stopped

The model is 32 equal layers and a head. One layer is tuned with 128 tokens (prefill) and one with a single token after
511 others in its cache (decode); the head (norm and 128,256 logits) with one token. Weights are random, and of one
layer alone larger than any cache, so that 32 layers take 32 times as long as one. Embedding is a lookup, and left out.

The roofline of decode is that of memory: each weight is read once for each token. That of prefill is computing.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from colt.machine import detect, load_peaks
from whole_models import llama_layer

LAYERS, HIDDEN, INNER, WORDS = 32, 4096, 14336, 128_256
STEPS, PAST = 128, 511


def prefill() -> tuple[Any, tuple[Any, ...]]:
    """A layer, 128 tokens at once."""
    import torch

    return llama_layer(0, HIDDEN, 32, 4, INNER), (torch.randn(1, STEPS, HIDDEN),)


def decode() -> tuple[Any, tuple[Any, ...]]:
    """A layer, one token after 511."""
    import torch

    past = (torch.randn(1, 8, PAST, 128) for _ in range(2))
    return llama_layer(PAST, HIDDEN, 32, 4, INNER), (torch.randn(1, 1, HIDDEN), *past)


def head() -> tuple[Any, tuple[Any, ...]]:
    """Logits of one token."""
    import torch

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.RMSNorm(HIDDEN, eps=1e-5)
            self.words = torch.nn.Linear(HIDDEN, WORDS, bias=False)

        def forward(self, x: Any) -> Any:
            return self.words(self.norm(x))

    return Head(), (torch.randn(1, HIDDEN),)


PARTS = (prefill, decode, head)


def compiled(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """The manifest of a part, compiled unless it is there."""
    path = asked.out / f"{name}.colt"
    if not path.exists():
        options = ["--minutes", str(asked.minutes), "--records", str(asked.out / "records.db"), "--json"]
        options += [] if asked.cast is None else ["--cast", asked.cast]
        _colt("compile", f"{__file__}:{name}", *options, "--run", str(asked.out / f"run-{name}"), "-o", str(path))
    found: dict[str, Any] = json.loads(_colt("show", str(path), "--json"))
    return found


def _colt(*arguments: str) -> str:
    command = [sys.executable, "-m", "colt.cli", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def weights_bytes(manifest: dict[str, Any]) -> int:
    """What a run reads of weights."""
    bits = {"float32": 32, "bfloat16": 16, "uint16": 16}
    return sum(math.prod(one["shape"]) * bits[one["dtype"]] // 8 for one in manifest["weights"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=5.0, help="of tuning each part")
    parser.add_argument("--cast", choices=["bf16"])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    parts = {part.__name__: compiled(part.__name__, asked) for part in PARTS}
    ms = {name: part["timed"]["tuned_ms"] for name, part in parts.items()}
    threads = parts["decode"]["threads"]
    peaks = load_peaks(detect(), threads)
    print(f"{detect().cpu}, {threads} threads; {asked.cast or 'float32'}, random weights")
    for name, part in parts.items():
        wrong = "" if part["compared"]["ok"] else "; OUTPUTS DIFFER"
        print(f"{name:8} {ms[name]:9.3f} ms, weights {weights_bytes(part) / 2**20:7.1f} MiB{wrong}")
    token_ms = LAYERS * ms["decode"] + ms["head"]
    first_ms = LAYERS * ms["prefill"] + ms["head"]
    print(f"decode   {1e3 / token_ms:.2f} tokens a second ({token_ms:.0f} ms each)")
    print(f"prefill  {1e3 * STEPS / first_ms:.1f} tokens a second ({first_ms:.0f} ms for {STEPS})")
    if peaks is not None and peaks.bandwidth_gbs:
        read = LAYERS * weights_bytes(parts["decode"]) + weights_bytes(parts["head"])
        least_ms = read / peaks.bandwidth_gbs / 1e6
        print(f"decode   {least_ms / token_ms:.0%} of the memory roofline ({peaks.bandwidth_gbs:.0f} GB/s)")


if __name__ == "__main__":
    main()
