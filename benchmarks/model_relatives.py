"""How soon a model is fast that begins from what is known of the same model at another batch or length.

    .venv/bin/python benchmarks/model_relatives.py --out DIR [--trials 640] [NAME ...]     # goes on where it stopped
    .venv/bin/python benchmarks/model_relatives.py --out DIR --report                      # only the table

Each model is tuned at one size, with records. At another size it is tuned twice: with as many trials and no records
(*alone*), and with a quarter of the trials and the records of the first (*warm*). A third compilation has that quarter
and no records (*quarter*), to tell what the records are worth. All are then timed in turn by ``colt bench-model``.

To reach: *warm* within 5 % of *alone*. Run it on an otherwise idle machine. Needs PyTorch and torchvision, and
transformers for BERT.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import whole_models

REACH, SHARE = 0.95, 4
ALONE, QUARTER = "alone", "quarter"


def mobilenet_v2_1() -> tuple[Any, tuple[Any, ...]]:
    """One image."""
    return whole_models.mobilenet_v2()


def mobilenet_v2_4() -> tuple[Any, tuple[Any, ...]]:
    """Four."""
    return _of_images(whole_models.mobilenet_v2()[0], 4)


def resnet50_1() -> tuple[Any, tuple[Any, ...]]:
    """One image."""
    return whole_models.resnet50()


def resnet50_2() -> tuple[Any, tuple[Any, ...]]:
    """Two."""
    return _of_images(whole_models.resnet50()[0], 2)


def bert_base_128() -> tuple[Any, tuple[Any, ...]]:
    """128 tokens."""
    return whole_models.bert_base()


def bert_base_64() -> tuple[Any, tuple[Any, ...]]:
    """64 tokens."""
    model, (tokens,) = whole_models.bert_base()
    return model, (tokens[:, :64],)


def _of_images(model: Any, count: int) -> tuple[Any, tuple[Any, ...]]:
    import torch

    return model, (torch.randn(count, 3, 224, 224),)


PAIRS = {
    "mobilenet_v2": (mobilenet_v2_1, mobilenet_v2_4),
    "resnet50": (resnet50_1, resnet50_2),
    "bert_base": (bert_base_128, bert_base_64),
}
"""The size that is known, and the one that begins from it."""


def measured(name: str, folder: Path, trials: int) -> dict[str, Any]:
    """Compile what is not there yet, and time it."""
    known, wanted = (f"{__file__}:{one.__name__}" for one in PAIRS[name])
    records = folder / "records.db"
    _compiled(folder / "known.colt", known, trials, "--records", str(records))
    _compiled(folder / f"{ALONE}.colt", wanted, trials, "--no-records")
    _compiled(folder / f"{QUARTER}.colt", wanted, trials // SHARE, "--no-records")
    warm = folder / "warm.colt"
    if not warm.exists():
        own = folder / "own.db"
        if not (folder / "run-warm").exists():
            shutil.copy(records, own)  # so that a second attempt knows no more than the first
        _compiled(warm, wanted, trials // SHARE, "--records", str(own))
    others = [str(folder / f"{one}.colt") for one in (ALONE, QUARTER)]
    return json.loads(_colt("bench-model", str(warm), "--model", wanted, "--peers", *others, "--json"))


def _compiled(path: Path, spec: str, trials: int, *options: str) -> None:
    """Compile, or go on where it broke off. Trials end it, not the clock."""
    if not path.exists():
        run = str(path.with_name(f"run-{path.stem}"))
        budget = ["--trials", str(trials), "--minutes", "600"]
        _colt("compile", spec, *budget, *options, "--run", run, "--json", "-o", str(path))


def _colt(*arguments: str) -> str:
    command = [sys.executable, "-m", "colt.cli", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def report(out: Path) -> None:
    """The table of what is there."""
    for name, (known, wanted) in PAIRS.items():
        path = out / name / whole_models.KEPT
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        rows = {row["name"]: row for row in found["rows"]}
        alone, quarter = (rows[f"{one}.colt"] for one in (ALONE, QUARTER))
        low, high = alone["speedup_interval"]
        print(
            f"{wanted.__name__} from {known.__name__}, {found['trials']} trials and a quarter of them: "
            f"warm {rows['colt']['median_us'] / 1e3:.3f} ms, "
            f"{alone['speedup']:.3f} of alone ({low:.3f} to {high:.3f}), "
            f"{quarter['speedup']:.3f} of a quarter without records: "
            + ("reached" if alone["speedup"] >= REACH else f"NOT reached ({REACH})")
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(PAIRS)}; all if left out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(PAIRS):
        parser.error(f"there is no {unknown.pop()}; there are {', '.join(PAIRS)}")
    for name in () if asked.report else asked.names or PAIRS:
        path = asked.out / name / whole_models.KEPT
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = measured(name, path.parent, asked.trials)
            path.write_text(json.dumps({"trials": asked.trials, **found}, indent=1))
    report(asked.out)


if __name__ == "__main__":
    main()
