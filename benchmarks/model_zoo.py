"""Do classifiers of torchvision and timm import, and compute what PyTorch computes?

    .venv/bin/python benchmarks/model_zoo.py --out FILE.jsonl [--tune] [NAME ...]     # goes on where it stopped

Needs torchvision and timm beside PyTorch; weights are random. Each model is exported, imported and put together in a
process of its own and compared with PyTorch, as it is imported, or with ``--tune`` as ``colt compile --records-only``
makes it (a few schedules of each program, the fastest taken). Without it the programs are plain loops, so inputs are
small.

To reach: all 40 run and agree with PyTorch, or are refused in a sentence that names an operator.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

TORCHVISION = (
    *("alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "squeezenet1_0"),
    *("squeezenet1_1", "densenet121", "googlenet", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "mobilenet_v2"),
    *("mobilenet_v3_small", "mobilenet_v3_large", "mnasnet0_5", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s"),
    *("regnet_y_400mf", "regnet_x_400mf", "convnext_tiny", "vit_b_32", "swin_t"),
)
TIMM = (
    *("cs3darknet_m", "ghostnet_100", "hardcorenas_a", "repvgg_a2", "rexnet_100", "mixnet_s", "tinynet_e", "lcnet_050"),
    *("mobileone_s0", "deit_tiny_patch16_224", "mixer_s32_224", "poolformer_s12", "convmixer_768_32", "levit_128s"),
    *("edgenext_xx_small",),
)
MODELS = {**dict.fromkeys(TORCHVISION, "torchvision"), **dict.fromkeys(TIMM, "timm")}
SMALL, USUAL = 64, 224
OF_FIXED_SIZE = ("vit", "swin", "deit", "mixer", "levit")
"""Models whose input has to be of the usual size."""
SECONDS = 900


def made(name: str) -> tuple[object, tuple[object, ...]]:
    """The model and its example inputs."""
    import torch

    try:
        import torchvision
    except RuntimeError:  # its operators are of another build of PyTorch, and classifiers need none of them
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    torch.manual_seed(0)
    size = USUAL if name.startswith(OF_FIXED_SIZE) else SMALL
    if MODELS[name] == "torchvision":
        extra = {"init_weights": False} if name == "googlenet" else {}
        model = torchvision.models.get_model(name, weights=None, **extra)
    else:
        import timm

        model = timm.create_model(name, pretrained=False)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():  # or a head of zeros would compute nothing, whatever comes before it
                torch.nn.init.normal_(parameter, std=0.02)
    return model.eval(), (torch.randn(1, 3, size, size),)


def one(name: str, tune: bool) -> dict[str, object]:
    """What became of a model."""
    import colt
    from colt.models.judge import verified
    from colt.models.options import CompileOptions
    from colt.plan import device_of
    from colt.tvm.models.assembly import assemble
    from colt.tvm.models.fused import fused
    from colt.tvm.models.layouts import CHANNELS_LAST
    from colt.tvm.models.library import ModelLibrary, write_library
    from colt.tvm.models.sources import load_graph
    from colt.tvm.models.tasks import tasks_of

    model, example = made(name)
    try:
        if tune:
            report = colt.compile(model, example, records_only=True).report
            found, tasks, left = report.compared, len(report.tasks), sum(not task.by for task in report.tasks)
        else:
            graph = load_graph(model, example)
            target = device_of(CompileOptions().tune_options(1)).target
            module = fused(graph.module, target, CHANNELS_LAST)
            assembled = assemble(module, [], {}, target)
            library = ModelLibrary(write_library(assembled.executable), assembled.weights, 2, assembled.outputs)
            outputs = [output.numpy() for output in library(*graph.example)]
            assert graph.reference is not None
            found = verified(outputs, graph.reference(graph.example), graph.against)
            tasks, left = len(tasks_of(module)), 0
    except colt.InputError as error:
        return {"model": name, "refused": str(error)}
    assert found is not None
    return {"model": name, "ok": found.ok, "error": max(found.errors), "tasks": tasks, "as imported": left}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(one(asked.names[0], asked.tune)))
        return
    rows = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    for name in asked.names or MODELS:
        if any(row["model"] == name for row in rows):
            continue
        started = time.monotonic()
        command = [
            sys.executable,
            __file__,
            name,
            "--here",
            "--out",
            str(asked.out),
            *(["--tune"] if asked.tune else []),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            row = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
            failure = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        except subprocess.TimeoutExpired:
            row, failure = None, [f"more than {SECONDS} s"]
        row = row or {"model": name, "failed": failure[0]}
        row["seconds"] = round(time.monotonic() - started, 1)
        rows.append(row)
        print(json.dumps(row), flush=True)
        with asked.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    agree, refused = (sum(bool(row.get(key)) for row in rows) for key in ("ok", "refused"))
    others = len(rows) - agree - refused
    print(f"{len(rows)} models: {agree} agree with PyTorch, {refused} refused, {others} wrong or failed")


if __name__ == "__main__":
    main()
