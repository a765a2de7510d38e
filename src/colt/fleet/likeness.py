"""Which hosts may measure together: latencies of unlike ones say nothing of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from colt.errors import ArgumentError, InputError
from colt.fleet.wire import HostReport
from colt.util.version import versions

_ANY = ("python",)
"""Versions that nothing depends on here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a host must be. ``features`` are those of the first host if they are not known yet."""

    cpu: str
    threads: int
    features: tuple[str, ...] | None = None

    def why_not(self, host: HostReport, lent: int) -> str:
        """Why a host that lends so many cores may not measure: what differs; empty if it may."""
        differences = list(other_versions(host.versions))
        if host.cpu != self.cpu:
            differences.append(f"its cpu is {host.cpu}, the fleet's is {self.cpu}")
        elif self.features is not None and host.features != self.features:
            odd = sorted(set(host.features) ^ set(self.features))
            differences.append(f"its vector instructions differ: {', '.join(odd)}")
        if lent < self.threads:
            differences.append(f"it lends {lent} of its cores, kernels use {self.threads}")
        return "; ".join(differences)


def other_versions(there: Mapping[str, str]) -> list[str]:
    """What the host has in other versions than the driver, in words."""
    return [
        f"it has {name} {there.get(name, 'of unknown version')}, the driver {version}"
        for name, version in versions().items()
        if name not in _ANY and there.get(name) != version
    ]


def choose(reports: Mapping[str, tuple[HostReport, int]], cpu: str | None, threads: int | None) -> Wanted:
    """The fleet among hosts, each with the cores that it lends: those of the model that most have, the first in the
    alphabet if several are as common. ``cpu`` is part of the model's name that the user asked for.

    Raises
    ------
    InputError
        No host has that cpu, that many cores, or the versions of the driver.
    """
    usable = {name: said for name, said in reports.items() if not other_versions(said[0].versions)}
    if not usable:
        raise InputError(
            f"no host can measure: {_listed({n: other_versions(r.versions)[0] for n, (r, _) in reports.items()})}"
        )
    require_cpu(cpu, {name: report.cpu for name, (report, _) in usable.items()})
    fitting = {name: said for name, said in usable.items() if _has(cpu, said[0].cpu)}
    models = Counter(report.cpu for report, _ in fitting.values())
    model = min(models, key=lambda name: (-models[name], name))
    like = {name: said for name, said in fitting.items() if said[0].cpu == model}
    lent = Counter(cores for _, cores in like.values())
    most = max(lent)
    if threads is not None and threads > most:
        raise ArgumentError(
            "threads", f"is {threads}; it takes an integer from 1 to {most}, the cores that a host of the fleet lends"
        )
    used = threads or min(lent, key=lambda cores: (-lent[cores], cores))
    features = Counter(report.features for report, cores in like.values() if cores >= used)
    return Wanted(model, used, min(features, key=lambda each: (-features[each], each)))


def require_cpu(cpu: str | None, models: Mapping[str, str]) -> None:
    """Raise :class:`InputError` if none of the models, by the names of hosts, has ``cpu`` in its name."""
    if not any(_has(cpu, model) for model in models.values()):
        raise ArgumentError("fleet_cpu", f"is {cpu!r}; there are {_listed(models)}")


def _has(cpu: str | None, model: str) -> bool:
    return cpu is None or cpu.casefold() in model.casefold()


def _listed(of: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in sorted(of.items()))
