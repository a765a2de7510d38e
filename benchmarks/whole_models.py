"""Whole models compared with what else runs them: latency, and what compiling takes.

    .venv/bin/python benchmarks/whole_models.py --out DIR [--minutes 15] [NAME ...]     # goes on where it stopped
    .venv/bin/python benchmarks/whole_models.py --out DIR --cast bf16 [NAME ...]        # against peers of bfloat16
    .venv/bin/python benchmarks/whole_models.py --out DIR --report                      # only the tables

Each model is compiled by ``colt compile`` in a process of its own, with records of its own, so that it knows nothing of
others, and then timed in turn with its peers by ``colt bench-model``. A compilation that broke off goes on. Weights are
random. Needs what the models come from (torchvision, timm, transformers) and the peers (PyTorch, ONNX Runtime,
OpenVINO); what is not there is skipped with the reason. Run it on an otherwise idle machine. How many times faster COLT
is comes from the rounds, each of which times all in turn, with its 95 % interval.

To reach, of float32 and 15 minutes a model: 1.1 times faster than the best peer (geomean), none slower than 0.95; the
sum of the tasks within 10 % of the whole; a second compilation in under 60 s without trials. Of bfloat16, on a
processor with AVX512_BF16 or AMX: as fast as the best peer of bfloat16 (geomean). ONNX Runtime has none for CPUs.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

SEED = 0
"""Of the weights: every process that makes a model makes the same one."""
PEERS = {
    "float32": ("torch", "torch.compile", "torch.compile-freezing", "ort", "openvino"),
    "bf16": ("torch", "torch.compile", "torch.compile-freezing", "openvino"),
}
"""By what products are of."""
REACH = {"float32": "1.1, least 0.95", "bf16": "1.0"}
KEPT = "result.json"


def _image(size: int = 224) -> tuple[Any, ...]:
    import torch

    return (torch.randn(1, 3, size, size),)


def _torchvision(name: str) -> Any:
    torchvision = _with_operators()
    _seed()
    return torchvision.models.get_model(name, weights=None)


def _seed() -> None:
    import torch

    torch.manual_seed(SEED)


def _with_operators() -> Any:
    """The package torchvision, which transformers imports as well."""
    import torch

    try:
        import torchvision
    except RuntimeError:  # its operators are of another build of PyTorch, and these models need none of them
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision


def resnet50() -> tuple[Any, tuple[Any, ...]]:
    """A convolution net of 8.2 GFLOP."""
    return _torchvision("resnet50"), _image()


def mobilenet_v2() -> tuple[Any, tuple[Any, ...]]:
    """A light one, of depthwise convolutions."""
    return _torchvision("mobilenet_v2"), _image()


def vit_b_16() -> tuple[Any, tuple[Any, ...]]:
    """A vision transformer."""
    import timm

    _seed()
    return timm.create_model("vit_base_patch16_224", pretrained=False), _image()


def bert_base() -> tuple[Any, tuple[Any, ...]]:
    """BERT, 128 tokens."""
    import torch

    _with_operators()
    from transformers import BertConfig, BertModel

    _seed()

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = BertModel(BertConfig(attn_implementation="sdpa"), add_pooling_layer=False)

        def forward(self, tokens: Any) -> Any:
            return self.model(input_ids=tokens).last_hidden_state

    return Encoder(), (torch.randint(0, 30000, (1, 128)),)


def llama_prefill() -> tuple[Any, tuple[Any, ...]]:
    """One decoder layer of the size of Llama-3.2-1B's, 128 tokens at once."""
    import torch

    return llama_layer(0), (torch.randn(1, 128, 2048),)


def llama_decode() -> tuple[Any, tuple[Any, ...]]:
    """The same for one token after 511."""
    import torch

    return llama_layer(511), (torch.randn(1, 1, 2048), *(torch.randn(1, 8, 511, 64) for _ in range(2)))


def llama_layer(past: int, hidden: int = 2048, heads: int = 32, groups: int = 4, inner: int = 8192) -> Any:
    """A decoder layer: 128 tokens, or one after ``past`` others. ``groups`` heads share keys and values."""
    import torch
    from torch import nn
    from torch.nn import functional

    depth, length = hidden // heads, 1 if past else 128
    _seed()

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(hidden))

        def forward(self, x: Any) -> Any:
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = {"q": hidden, "k": hidden // groups, "v": hidden // groups, "o": hidden}
            for name, size in (*sizes.items(), ("gate", inner), ("up", inner)):
                setattr(self, name, nn.Linear(hidden, size, bias=False))
            self.down = nn.Linear(inner, hidden, bias=False)
            self.norm1, self.norm2 = Norm(), Norm()
            turns = torch.arange(past, past + length)[:, None] * (5e5 ** (-torch.arange(0, depth, 2) / depth))[None]
            self.register_buffer("cos", torch.cat([turns.cos()] * 2, -1))
            self.register_buffer("sin", torch.cat([turns.sin()] * 2, -1))

        def turned(self, x: Any) -> Any:
            one, other = x.chunk(2, -1)
            return x * self.cos + torch.cat([-other, one], -1) * self.sin

        def forward(self, x: Any, past_k: Any = None, past_v: Any = None) -> Any:
            count, steps, _ = x.shape
            y = self.norm1(x)
            q, k, v = (
                projection(y).view(count, steps, -1, depth).transpose(1, 2) for projection in (self.q, self.k, self.v)
            )
            q, k = self.turned(q), self.turned(k)
            if past_k is not None:
                k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
            wide_k, wide_v = (one.repeat_interleave(groups, 1) for one in (k, v))
            z = functional.scaled_dot_product_attention(q, wide_k, wide_v, is_causal=past_k is None)
            x = x + self.o(z.transpose(1, 2).reshape(count, steps, -1))
            y = self.norm2(x)
            x = x + self.down(functional.silu(self.gate(y)) * self.up(y))
            return x if past_k is None else (x, k, v)

    return Layer()


MODELS = {one.__name__: one for one in (resnet50, mobilenet_v2, vit_b_16, bert_base, llama_prefill, llama_decode)}


def measured(name: str, folder: Path, minutes: float, kind: str) -> dict[str, Any]:
    """Compile, compile again, and time with the peers."""
    folder.mkdir(parents=True, exist_ok=True)
    spec, model = f"{__file__}:{name}", folder / "model.colt"
    common = [spec, "--records", str(folder / "records.db"), "--json", *([] if kind == "float32" else ["--cast", kind])]
    if not model.exists():
        _colt("compile", *common, "--minutes", str(minutes), "--run", str(folder / "run"), "-o", str(model))
    manifest = json.loads(_colt("show", str(model), "--json"))
    again = json.loads(_colt("compile", *common, "--records-only", "-o", str(folder / "again.colt")))
    peers = json.loads(_colt("bench-model", str(model), "--model", spec, "--peers", *PEERS[kind], "--json"))
    return {"model": name, "manifest": manifest, "again": again["seconds"], "peers": peers}


def place(out: Path, name: str, kind: str) -> Path:
    """Where what was measured of a model goes."""
    return out / (name if kind == "float32" else f"{name}-{kind}") / KEPT


def _colt(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "colt.cli", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"colt {' '.join(arguments)} ended with exit code {done.returncode}")
    return done.stdout


def report(out: Path, kind: str) -> None:
    """The table of what is there."""
    ratios = []
    for name in MODELS:
        path = place(out, name, kind)
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        manifest, rows = found["manifest"], {row["name"]: row for row in found["peers"]["rows"]}
        tasks = sum(task["calls"] * (task["tuned_us"] or task["untuned_us"] or 0.0) for task in manifest["tasks"]) / 1e3
        line = [f"tasks {tasks:.3f}"]
        line += [f"{peer} {_ms(row)}" for peer, row in rows.items() if peer != "colt"]
        ours = rows.pop("colt")["median_us"]
        others = {peer: row for peer, row in rows.items() if row["speedup"]}
        if ours and others:
            best = min(others, key=lambda peer: others[peer]["speedup"])
            low, high = others[best]["speedup_interval"]
            ratios.append(others[best]["speedup"])
            line += [f"{ratios[-1]:.2f} ({low:.2f} to {high:.2f}) of {best}"]
        line += [f"again {sum(found['again'].values()):.0f} s"]
        compared, layout = manifest["compared"], manifest.get("layout")
        line += [f"outputs {'agree' if compared['ok'] else 'DIFFER'}, error {max(compared['errors']):.1e}"]
        line += [layout] if layout else []
        print(f"{name:16} {kind}: colt {'failed' if not ours else f'{ours / 1e3:.3f} ms'}; " + "; ".join(line))
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"{kind}: geomean over the best peer {mean:.2f}, least {min(ratios):.2f} (to reach {REACH[kind]})")


def _ms(row: dict[str, Any]) -> str:
    return f"{row['median_us'] / 1e3:.3f}" if row["median_us"] else f"- ({row['problem']})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--cast", choices=[one for one in PEERS if one != "float32"])
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in MODELS]:
        parser.error(f"there is no model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    kind = asked.cast or "float32"
    for name in () if asked.report else asked.names:
        path = place(asked.out, name, kind)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measured(name, path.parent, asked.minutes, kind), indent=1))
    for one in PEERS if asked.report else (kind,):
        report(asked.out, one)


if __name__ == "__main__":
    main()
