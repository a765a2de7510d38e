"""The built-in experts by name, and the default pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from colt.errors import InputError
from colt.proposers.experts.architect import Architect
from colt.proposers.experts.scout import Scout
from colt.proposers.experts.tuner import Tuner
from colt.search.types import MemberSpec, MovingSpace, Proposer, Scorer, Space

EXPERTS: dict[str, tuple[float, Callable[[Space, Scorer, MemberSpec, MovingSpace | None], Proposer]]] = {
    "scout": (1.0, Scout),
    "tuner": (8.0, lambda space, scorer, spec, moving: Tuner(space, scorer, spec)),
    "architect": (70.0, Architect),
}
"""Name, nominal size in billions of parameters, and maker of each built-in expert."""

DEFAULT = ("scout", "tuner", "architect")


def specs(names: Sequence[str] = DEFAULT) -> list[MemberSpec]:
    """The members of a pool of built-in experts. Raises :class:`InputError` for an unknown or repeated name."""
    if not names or list(names) == [""]:
        raise InputError(f"the pool is empty; the built-in experts are {', '.join(EXPERTS)}")
    for name in names:
        if name not in EXPERTS:
            known = ", ".join(EXPERTS)
            raise InputError(
                f"there is no built-in expert {name!r}; they are {known}. A pool file's name ends in .toml"
            )
        if list(names).count(name) > 1:
            raise InputError(f"the pool names {name!r} twice")
    return [MemberSpec(name, EXPERTS[name][0], nominal=True) for name in names]


def make(
    names: Sequence[str], space: Space, scorer: Scorer, moving: MovingSpace | None = None, explored: bool = False
) -> list[Proposer]:
    """The experts of these names, at work on a space; ``moving`` is the same one, if they may change structures.

    ``explored``: an :class:`~colt.proposers.experts.explorer.Explorer` looks for structures, so the architect does not.
    """
    found = specs(names) if names else []
    changes = {spec.name: None if explored and EXPERTS[spec.name][1] is Architect else moving for spec in found}
    return [EXPERTS[spec.name][1](space, scorer, spec, changes[spec.name]) for spec in found]
