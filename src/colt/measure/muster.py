"""Who measures where several hosts do: what a run is told of its fleet. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host that has measured."""

    name: str
    cpu: str
    threads: int
    """Those that kernels use."""
    reference_us: float
    """What the reference kernel took there when the host joined, in microseconds."""
    disturbed: bool = False
    """Whether another load was there meanwhile."""
    left: str = ""
    """Why it does not measure any more; empty if it does."""


@dataclass(frozen=True, slots=True)
class Muster:
    """A fleet at one moment of a run, with what has become of it since the run began."""

    hosts: tuple[HostSeen, ...] = ()
    """In the order of joining."""
    refused: tuple[tuple[str, str], ...] = ()
    """Hosts that may not measure, by name, each with the reason."""
    lost: int = 0
    """How often a host died, hung or was taken away."""
    again: int = 0
    """Trials that were measured again elsewhere, since their host was lost."""
    base: str = ""
    """The host whose microseconds latencies are told in: the first."""
    base_us: float = 0.0
    """What the reference kernel took there."""
    decider: str = ""
    """The host that timed the leaders in turn last."""
    builders: int = 0
    """Cores elsewhere that build for the hosts."""
    built_elsewhere: int = 0
    """Trials that these have built."""

    @property
    def measuring(self) -> tuple[HostSeen, ...]:
        """The hosts that measure now."""
        return tuple(host for host in self.hosts if not host.left)


def joined(muster: Muster, host: HostSeen) -> Muster:
    """With a host that has come, or come back. The first is the base."""
    known = [each.name for each in muster.hosts]
    if host.name in known:
        hosts = tuple(host if each.name == host.name else each for each in muster.hosts)
    else:
        hosts = (*muster.hosts, host)
    if muster.base:
        return replace(muster, hosts=hosts)
    return replace(muster, hosts=hosts, base=host.name, base_us=host.reference_us)


def left_by(muster: Muster, name: str, why: str) -> Muster:
    """Without a host that measures no more, and why."""
    hosts = tuple(replace(each, left=why) if each.name == name else each for each in muster.hosts)
    return replace(muster, hosts=hosts)


def resumed(before: Muster, here: Muster) -> Muster:
    """A run that goes on in another process: what it had ``before``, with nobody who measures yet, beside the hosts
    that are refused and that build ``here``. May be repeated."""
    return replace(
        before,
        hosts=tuple(replace(host, left=host.left or "the run broke off") for host in before.hosts),
        refused=tuple({**dict(before.refused), **dict(here.refused)}.items()),
        builders=here.builders,
    )
