"""Schedules in the form that MetaSchedule's database holds, for records that stock TVM can read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colt.records.record import StockForm
from colt.tvm.metaschedule.records import Records


def stock_forms(module: Any, target: Any, schedules: Sequence[Any]) -> tuple[str, list[StockForm]]:
    """The program in base64, and the form of each of these schedules of it, which are TVM's own.

    TVM alone knows how to write some of them, and writes into files. Raises :class:`OSError`.
    """
    with tempfile.TemporaryDirectory(prefix="colt-records-") as folder:
        workloads, lines = Path(folder) / "workloads", Path(folder) / "lines"
        records = Records(workloads, lines, module, target)
        for number, schedule in enumerate(schedules):
            records.add(number, schedule, 1.0)
        name, encoded = json.loads(workloads.read_text())
        forms = [_form(name, line) for line in lines.read_text().splitlines()]
    return encoded, forms


def _form(program: object, line: str) -> StockForm:
    _, (trace, _, target, arguments) = json.loads(line)
    parts = (json.dumps(part, separators=(",", ":")) for part in (trace, target, arguments))
    return StockForm(program=str(program), **dict(zip(("trace", "target", "arguments"), parts, strict=True)))
