"""A compiled model held against what others make of the original: each in a process of its own, all timed in turn."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from colt.bench.contenders.client import Contenders
from colt.bench.contenders.messages import PeerFamily, Settings, TimedKernel
from colt.bench.records import ModelContender, Record
from colt.bench.remeasure import prepare
from colt.bench.turns import SITTINGS, Entry, Rounds, time_in_turn
from colt.errors import InputError
from colt.machine import detect
from colt.models.archive import open_archive
from colt.models.compiled import written
from colt.models.judge import verified
from colt.models.manifest import Manifest, SizedManifest
from colt.models.options import SUFFIX, combinations
from colt.tvm.devices.hold import hold_this_machine
from colt.tvm.models.graph import Graph
from colt.tvm.models.quantised import with_integer_products
from colt.tvm.models.sources import load_graph, open_model
from colt.util.stats import estimate, paired_ratio
from colt.util.text import did_you_mean

SUBJECT = "colt"
PACKAGES = {
    "torch": ("torch",),
    "torch.compile": ("torch",),
    "torch.compile-freezing": ("torch",),
    "ort": ("onnxruntime",),
    "openvino": ("openvino",),
}
"""The peers, and what each needs."""


class ModelRow(Record, frozen=True, kw_only=True):
    """One contender: the median with its interval of 95 %, in microseconds, and how many times faster COLT's model is,
    round by round. Without figures, ``problem`` says why."""

    name: str
    problem: str = ""
    median_us: float | None = None
    interval_us: tuple[float, float] | None = None
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    max_rel_error: float | None = None


class ModelBench(Record, frozen=True, kw_only=True):
    """The whole comparison."""

    model: str
    cpu: str
    threads: int
    rounds: int
    disturbed: int
    rows: tuple[ModelRow, ...]
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    """Those that the model was timed for, if the original leaves some open."""


def bench_model(path: Path, original: str | None, peers: Sequence[str], asked: AskedSizes | None = None) -> ModelBench:
    """Time a compiled model and the peers, of which other compiled models may be some.

    Raises
    ------
    InputError
        Something asked for is not usable.
    MeasureError
        A fleet measures on this machine for too long.
    """
    asked = asked or AskedSizes()
    files = {SUBJECT: path, **_checked(peers)}
    if original is None:
        raise InputError("the original is needed, to compare with and for the peers: --model MODEL")
    graph = asked.graph(original)
    manifest, *_ = list(_fitting(filter(None, files.values()), graph))
    entries = [Entry(ModelContender(name=name)) for name in files]
    for entry in entries:
        needed = PACKAGES.get(entry.record.name, ())
        if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
            entry.drop(f"{', '.join(missing)} is not installed")
    expected = graph.reference(graph.example) if graph.reference is not None else None
    rounds = Rounds()
    with closing(hold_this_machine()), TemporaryDirectory(prefix="colt-bench-") as folder:
        settings = _settings(original, manifest, graph, folder)
        for _ in range(SITTINGS):
            present = [one for one in entries if one.wanted]
            rounds += _sit(settings, files, present, expected, manifest.products or graph.narrow)
    rows = _rows([entry.finished() for entry in entries])
    return ModelBench(
        model=manifest.name,
        cpu=detect().cpu,
        threads=manifest.threads,
        rounds=rounds.count,
        disturbed=rounds.disturbed,
        rows=rows,
        sizes=dict(asked.sizes or {}),
    )


@dataclass(frozen=True, slots=True)
class AskedSizes:
    """The sizes that an original leaves open: shapes of inputs by their names, and sizes by theirs."""

    shapes: Mapping[str, Sequence[int]] | None = None
    sizes: Mapping[str, int] | None = None

    def graph(self, original: str) -> Graph:
        """The original with these sizes. Raises :class:`InputError`."""
        if not self.sizes:
            return load_graph(original, None, self.shapes)
        return with_integer_products(open_model(original, None, self.shapes, list(self.sizes)).at(self.sizes))


def sizes_to_time(path: Path, sizes: Mapping[str, Sequence[int]] | None) -> list[dict[str, int]]:
    """The sizes that a compiled model is timed for: all combinations of those given, or those that it was compiled
    for. Empty sizes are those that the original has by itself."""
    if sizes:
        return combinations(sizes)
    manifest = open_archive(path).manifest
    return [dict(part.sizes) for part in manifest.parts] if isinstance(manifest, SizedManifest) else [{}]


def _checked(peers: Sequence[str]) -> dict[str, Path | None]:
    """The peers by what they are called in the table; compiled models with their files, called as these are."""
    found: dict[str, Path | None] = {}
    for name in dict.fromkeys(peers):
        file = Path(name) if name.endswith(SUFFIX) else None
        if file is None and name not in PACKAGES:
            raise InputError(f"there is no peer {name}; {did_you_mean(name, list(PACKAGES))}, or a {SUFFIX} file")
        called = name if file is None else file.name
        if called in found:
            raise InputError(f"two of the compiled models are called {called}: rename one of them")
        found[called] = file
    return found


def _fitting(files: Iterable[Path], graph: Graph) -> Iterator[Manifest]:
    """The manifests of compiled models for the sizes of the graph. Raises :class:`InputError` if one takes others."""
    theirs = [(tuple(one.shape), str(one.dtype)) for one in graph.example]
    for file in files:
        manifest = open_archive(file).manifest
        every = list(manifest.models.values())
        ours = [[(one.shape, one.dtype) for one in model.inputs] for model in every]
        if theirs in ours:
            yield every[ours.index(theirs)]
        elif isinstance(manifest, SizedManifest) and manifest.others is not None:
            yield manifest.others.model
        else:
            taken = " or ".join(map(_written, ours))
            raise InputError(f"the compiled model takes {taken}, and {graph.name} {_written(theirs)}")


def _written(parts: Iterable[tuple[Any, str]]) -> str:
    return ", ".join(written(dtype, shape) for shape, dtype in parts)


def _settings(original: str, manifest: Manifest, graph: Graph, folder: str) -> Settings:
    inputs = []
    for number, array in enumerate(graph.example):
        inputs.append(str(Path(folder) / f"input-{number}.npy"))
        np.save(inputs[-1], array)
    return Settings(
        family=PeerFamily.MODEL,
        workload=original,
        size="",
        threads=manifest.threads,
        inputs=tuple(inputs),
        folder=folder,
        members=(),
        products=manifest.products,
    )


def _sit(
    settings: Settings,
    files: Mapping[str, Path | None],
    entries: Sequence[Entry[ModelContender]],
    expected: Any,
    products: str,
) -> Rounds:
    """One sitting: a new process for each, then some rounds."""

    def compare(entry: Entry[ModelContender], found: Any) -> None:
        _compare(expected, entry, found, products)

    with ExitStack() as stack:
        for entry in entries:
            file = files[entry.record.name]
            member = TimedKernel(entry.record.name, "" if file is None else str(file.resolve()))
            home = Contenders(msgspec.structs.replace(settings, members=(member,)))
            prepare(stack.enter_context(home), [entry], compare)
        return time_in_turn(entries)


def _compare(expected: Sequence[Any] | None, entry: Entry[ModelContender], found: Any, products: str) -> None:
    if expected is None:
        return
    sizes = [int(np.size(one)) for one in expected]
    if found.size != sum(sizes):
        entry.drop(f"it gives {found.size:,} numbers, not {sum(sizes):,}")
        return
    parts = np.split(found, np.cumsum(sizes)[:-1])
    shaped = [part.reshape(one.shape).astype(one.dtype) for part, one in zip(parts, expected, strict=True)]
    verdict = verified(shaped, expected, "the original", products)
    entry.record = msgspec.structs.replace(entry.record, max_rel_error=verdict.worst)
    if not verdict.ok:
        entry.drop(f"it computes something else: {verdict.in_words}")


def _rows(records: Sequence[ModelContender]) -> tuple[ModelRow, ...]:
    ours = records[0].latencies_us
    return tuple(_row(one, ours) for one in records)


def _row(record: ModelContender, ours: Sequence[float]) -> ModelRow:
    if not record.latencies_us:
        return ModelRow(name=record.name, problem=record.problem, max_rel_error=record.max_rel_error)
    found = estimate(record.latencies_us)
    comparable = record.name != SUBJECT and len(ours) == len(record.latencies_us)
    ratio = paired_ratio(record.latencies_us, ours) if comparable else None
    return ModelRow(
        name=record.name,
        median_us=found.median,
        interval_us=_ends(found.interval),
        speedup=None if ratio is None else ratio.median,
        speedup_interval=None if ratio is None else _ends(ratio.interval),
        max_rel_error=record.max_rel_error,
    )


def _ends(interval: Any) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)
