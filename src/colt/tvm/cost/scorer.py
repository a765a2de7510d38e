"""Scorers over real sketches: the analytical estimate from the first trial, a learned cost model once it has proved
itself (design, section 3, *scorers*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from colt.analysis.estimate import KnownCosts, estimate_us
from colt.analysis.processor import Machine
from colt.knobs import Schedule
from colt.machine import Hardware, Rates
from colt.search.types import Scorer
from colt.store.workings import Trusted
from colt.tvm.cost.learned import CostModel
from colt.tvm.space.recent import Recent
from colt.tvm.space.space import TvmSpace
from colt.util.stats import rank_correlation

KEPT = 20_000
"""Estimates that are remembered: experts look at the same neighbourhoods again and again."""
Once = Callable[[str, type[Trusted], Callable[[], Trusted]], Trusted]
HOLD_OUT = 4
"""One in so many measured schedules is kept from training, to judge by."""


CHAINED = 1.5
"""How much longer than the latency of the instruction alone a step of a chain takes in LLVM's code. From three kinds of
processors: Zen 4 (fitted 7 slots, latency 4), Intel with AVX-512 (10 to 12, latency 8), Zen 5 (12, latency 8)."""


def machine_of(hardware: Hardware, threads: int) -> Machine:
    """The analytical model's view of this machine; the model's own assumptions where nothing was measured."""
    peaks = hardware.peaks
    machine = Machine(
        vector_bits=hardware.simd.vector_bits,
        registers=hardware.simd.registers,
        threads=threads,
        peak_gflops=peaks.fma_gflops_1_thread or 6.0 * hardware.simd.fp32_lanes,
        l1_bytes=hardware.l1d.bytes,
        l2_bytes=hardware.l2.bytes,
        l3_bytes=hardware.last_level_cache.bytes,
        dram=peaks.bandwidth_gbs or 20.0,
    )
    return machine if peaks.rates is None else _with_rates(machine, peaks.rates)


def _with_rates(machine: Machine, rates: Rates) -> Machine:
    return replace(
        machine,
        l2=rates.l2_gbs,
        l3=rates.l3_gbs,
        l2_jump=rates.l2_jump,
        l3_jump=rates.l3_jump,
        dram_jump=rates.dram_jump,
        latency=CHAINED * rates.latency,
        add_latency=CHAINED * rates.add_latency,
        window=rates.window,
        store=rates.store,
        broadcast=rates.broadcast,
        division=rates.division,
        loop=rates.loop,
        launch_us=rates.launch_us,
        dots=dict(machine.dots) | {name: slots for name, slots in rates.dots if slots is not None},
    )


class AnalyticalScorer:
    """The analytical model over the skeletons of a space's sketches. Realises no schedule."""

    def __init__(self, space: TvmSpace, machine: Machine) -> None:
        self.version = "analytical"
        self._space = space
        self._machine = machine
        self._known: Recent[Schedule, float] = Recent(KEPT)
        self._nests = KnownCosts()

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """Implements :class:`~colt.search.types.Scorer`."""
        return [self._estimate(schedule) for schedule in schedules]

    def _estimate(self, schedule: Schedule) -> float:
        known = self._known.get(schedule)
        if known is None:
            known = estimate_us(self._space.skeleton(schedule), schedule.values, self._machine, self._nests)
            self._known.put(schedule, known)
        return known


@dataclass(frozen=True, slots=True)
class Trust:
    """Held-out rank correlations with measurements when the cost model was last tried; ``None`` before."""

    analytical: float | None = None
    cost_model: float | None = None
    samples: int = 0


class TrustedScorer:
    """The analytical scorer until the cost model ranks held-out measurements better, and above ``min_rank``."""

    def __init__(
        self,
        analytical: Scorer,
        make_cost_model: Callable[[], CostModel] | None,
        warmup: int,
        min_rank: float,
        once: Once = lambda of, kind, work: work(),
    ) -> None:
        """``once`` does a work, unless its result is known."""
        self._analytical = analytical
        self._make_cost_model = make_cost_model
        self._cost_model: CostModel | None = None
        self._warmup = warmup
        self._min_rank = min_rank
        self._once = once
        self._trained_on = 0
        self._active: Scorer = analytical
        self.trust = Trust()

    @property
    def analytical(self) -> Scorer:
        """The scorer that has learned nothing."""
        return self._analytical

    @property
    def version(self) -> str:
        """The version of the scorer in charge."""
        return self._active.version

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """Implements :class:`~colt.search.types.Scorer`."""
        return self._active.predict(schedules)

    def learn(self, measured: Mapping[Schedule, float]) -> None:
        """Train on all measured schedules (schedule → µs) if there are enough new ones, and decide who is in charge."""
        if self._make_cost_model is None or len(measured) < max(self._warmup, self._trained_on * 3 // 2):
            return
        self._trained_on = len(measured)
        model = self._cost_model = self._cost_model or self._make_cost_model()
        held_out = list(measured)[::HOLD_OUT]
        unseen = set(held_out)
        model.train({s: us for s, us in measured.items() if s not in unseen})

        def judged() -> Trusted:
            actual = [measured[schedule] for schedule in held_out]
            estimated = rank_correlation(self._analytical.predict(held_out), actual)
            return Trusted(estimated, rank_correlation(model.predict(held_out), actual))

        found = self._once(f"trust after {len(measured)}", Trusted, judged)
        self.trust = Trust(found.analytical, found.cost_model, len(measured))
        better = found.cost_model > max(self._min_rank, found.analytical)
        self._active = model if better else self._analytical
