"""COLT's builds inside stock MetaSchedule: ``ms.tune_tir(..., builder=colt.tvm.Builder())``."""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from tvm.error import InternalError
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

from colt.errors import ColtError, InputError
from colt.measure.base import Fate, Job, Limits
from colt.tvm.dots.once import configure_once
from colt.tvm.metaschedule.artifact import SUFFIX, Artifact, write_alone
from colt.tvm.space.recent import Recent
from colt.tvm.space.shared import Conditions, InUse, check_threads, conditions
from colt.tvm.vector_math import rewrite
from colt.tvm.workers import LocalMeasurer

ArtifactKind = Literal["kept", "library"]
_REMEMBERED = 10_000  # parameters: some tasks' worth of search threads


def Builder(
    artifact: ArtifactKind = "kept",
    *,
    vector_math: bool = False,
    threads: int | None = None,
    limits: Limits | None = None,
) -> Any:
    """A builder for ``ms.tune_tir`` and ``tune_relax``: a batch is built by persistent workers, all cores at once.

    A candidate that fails to build, crashes LLVM or takes too long costs its own trial.

    Parameters
    ----------
    artifact
        ``"kept"`` leaves the kernels in the workers, where :func:`colt.tvm.Runner` finds them; only that runner reads
        these artifacts. ``"library"`` writes shared libraries (``.so``) for any runner, which takes a C compiler and
        some tenths of a second each.
    vector_math
        Build candidates with :class:`colt.tvm.VectorMath`. The module that MetaSchedule's database gives in the end is
        without it: apply the pass to that module as well. Therefore off by default.
    threads
        Threads that kernels are timed with; by default the target's ``num-cores``, as far as this machine has them.
        A runner with another number builds again.
    limits
        Time limits.

    Raises
    ------
    InputError
        An argument is not accepted.
    """
    if artifact not in get_args(ArtifactKind):
        raise InputError(f"artifact is {artifact!r}; accepted are {' and '.join(map(repr, get_args(ArtifactKind)))}")
    check_threads(threads)
    return _Builder(_Options(artifact, vector_math, threads, limits or Limits()))


@dataclass(frozen=True, slots=True)
class _Options:
    artifact: ArtifactKind
    vector_math: bool
    threads: int | None
    limits: Limits


@derived_object
class _Builder(ms.builder.PyBuilder):  # type: ignore[misc]
    """What MetaSchedule calls, with the candidates of one task at a time."""

    def __init__(self, options: _Options) -> None:
        super().__init__()
        self._options = options
        self._in_use = InUse()
        self._tasks = TaskNames()

    def build(self, build_inputs: Any) -> list[Any]:
        inputs = list(build_inputs)
        task = self._tasks.name(each.mod for each in inputs)
        results: dict[int, Any] = {}
        jobs: dict[Conditions, list[Job]] = defaultdict(list)
        for index, each in enumerate(inputs):
            try:
                jobs[conditions(each.target, self._options.threads)].append(Job(index, self._module(each)))
            except (ColtError, InternalError, ValueError, TypeError) as error:
                results[index] = _failed(str(error))
        for where, group in jobs.items():
            results |= self._build(where, group, task)
        return [results[index] for index in range(len(inputs))]

    def close(self) -> None:
        """End the workers, those of a Runner for the same target too; they start again when they are needed."""
        self._in_use.close()

    def _build(self, where: Conditions, jobs: Sequence[Job], task: str | None) -> dict[int, Any]:
        results = {}
        try:
            with self._in_use.workers(where).turn() as measurer:
                for job, built in zip(jobs, measurer.build(jobs, self._options.limits), strict=True):
                    results[job.id] = (
                        self._write(measurer, job.module, where, task)
                        if built.fate is Fate.OK
                        else _failed(f"{built.fate}: {built.message}")
                    )
        except (ColtError, OSError) as error:  # no workers
            results = {job.id: results.get(job.id, _failed(str(error))) for job in jobs}
        return results

    def _module(self, build_input: Any) -> Any:
        module = _buildable(build_input)
        return configure_once(rewrite(module) if self._options.vector_math else module)

    def _write(self, measurer: LocalMeasurer, module: Any, where: Conditions, task: str | None) -> Any:
        try:
            if self._options.artifact == "library":
                path = write_alone("kernel.so", partial(measurer.export, module, limits=self._options.limits))
            else:
                artifact = Artifact.of(module, where.target, where.threads, task)
                path = write_alone("candidate" + SUFFIX, artifact.write)
        except (ColtError, OSError) as error:
            return _failed(str(error))
        return ms.builder.BuilderResult(str(path), None)


class TaskNames:
    """Tells tasks apart, though MetaSchedule does not say which one a candidate belongs to.

    Scheduling leaves a function's parameters the very objects that they were, and all of a batch are of one task. Each
    of MetaSchedule's search threads has its own copy of the program, so a task goes by several parameters. The same
    program in another tuning gets another name, which costs time only.
    """

    def __init__(self) -> None:
        self._new = (f"{uuid.uuid4().hex}-{number}" for number in itertools.count())
        self._names: Recent[Any, str] = Recent(_REMEMBERED)

    def name(self, modules: Iterable[Any]) -> str | None:
        """The name of the task that all of the modules belong to; ``None`` if they have no parameters."""
        parameters = set(_parameters(modules))
        if not parameters:
            return None
        known = [name for name in map(self._names.get, parameters) if name is not None]
        name = min(known, default=None) or next(self._new)
        for parameter in parameters:
            self._names.put(parameter, name)
        return name


def _parameters(modules: Iterable[Any]) -> Iterator[Any]:
    for module in modules:
        for function in module.functions.values():
            yield from list(getattr(function, "params", ()))[:1]


def _buildable(build_input: Any) -> Any:
    """The module that stock's ``default_build`` would build."""
    if build_input.params:
        raise InputError("build parameters are not supported: a kernel takes all its arguments when it is called")
    return RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(build_input.mod)


def _failed(message: str) -> Any:
    return ms.builder.BuilderResult(None, message)
