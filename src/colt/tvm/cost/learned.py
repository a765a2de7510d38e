"""MetaSchedule's gradient-boosted cost model as a scorer, on one core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm.s_tir import meta_schedule as ms

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.tvm.devices.host import cpu_intrinsics
from colt.tvm.space.space import TvmSpace

HOPELESS = 1e9
"""Prediction for a schedule that cannot be realised, in the model's relative unit."""


class CostModel:
    """XGBoost on MetaSchedule's per-store features. Implements :class:`~colt.search.types.Scorer`.

    Predictions are relative to the best schedule of the training set: 1 is as fast, 2 takes twice as long.
    """

    def __init__(self, space: TvmSpace, mod: Any, target: Any, arguments: Any) -> None:
        self._space = space
        self._arguments = arguments
        with cpu_intrinsics():
            self._context = ms.TuneContext(mod=mod, target=target, num_threads=1)
        # below its number of warm-up samples the model answers random numbers; a caller does not ask before training
        self._model = ms.cost_model.XGBModel(num_warmup_samples=0, num_tuning_cores=1, verbose_eval=0)
        self._trained: set[Schedule] = set()
        self._lessons: list[dict[Schedule, float]] = []
        """What it has been trained on in name alone: it learns when it is first asked."""
        self._predicted: dict[Schedule, float] = {}

    @property
    def version(self) -> str:
        """Includes the number of measurements that it was trained on."""
        return f"xgboost-{len(self._trained)}"

    def train(self, measured: Mapping[Schedule, float]) -> None:
        """Fit to all schedules ever given, with their latencies in microseconds; at the next prediction."""
        new = {schedule: us for schedule, us in measured.items() if schedule not in self._trained}
        self._lessons.append(new)
        self._trained.update(new)
        self._predicted.clear()

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """Relative latencies; realises the schedules, some milliseconds each."""
        candidates = {}
        for schedule in schedules:
            if schedule not in self._predicted:
                try:
                    candidates[schedule] = self._candidate(schedule)
                except (IllegalEdit, Rejected):
                    self._predicted[schedule] = HOPELESS
        if candidates:
            self._learn()
            scores = self._model.predict(self._context, list(candidates.values()))
            for schedule, score in zip(candidates, scores, strict=True):
                self._predicted[schedule] = 1.0 / max(float(score), 1.0 / HOPELESS)
        return [self._predicted[schedule] for schedule in schedules]

    def _learn(self) -> None:
        """Take the lessons in, one by one as they came."""
        lessons, self._lessons = self._lessons, []
        for lesson in lessons:
            results = [ms.runner.RunnerResult([us / 1e6], None) for us in lesson.values()]
            self._model.update(self._context, [self._candidate(schedule) for schedule in lesson], results)

    def _candidate(self, schedule: Schedule) -> Any:
        realised = self._space.realise(schedule).schedule  # rollouts are values alone, perhaps not yet legal together
        return ms.MeasureCandidate(self._space.scheduled(realised), self._arguments)
