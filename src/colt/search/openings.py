"""The root's children before the loop begins: good by the scorer, and different in what matters most."""

from __future__ import annotations

import random
from collections.abc import Container, Hashable, Iterable, Sequence

from colt import events
from colt.knobs import Schedule
from colt.search.setup import Setup
from colt.search.steps import score
from colt.search.tree import Node, Tree


def open_root(tree: Tree, setup: Setup, openings: Iterable[tuple[Schedule, str]]) -> list[Node]:
    """Make children of the root from the ``root_width`` best and most diverse of ``(schedule, made by)``, those of
    ``near_sketches`` among them.

    Their next members are dealt in turn, the smallest first, or all are the largest (``deal``).
    """
    made_by: dict[Schedule, str] = {}
    for schedule, by in openings:
        made_by.setdefault(schedule, by)
    made_by.pop(tree.root.facts.schedule, None)
    if not made_by:
        return []
    predicted = setup.scorer.predict(list(made_by))
    ranked = sorted(zip(predicted, range(len(predicted)), made_by, strict=True))
    chosen = of_near_sketches(
        [(us, schedule) for us, _, schedule in ranked], setup.config.root_width, setup.config.near_sketches
    )
    return _add_children(tree, setup, [(schedule, made_by[schedule]) for schedule in chosen], 2)


def open_leads(tree: Tree, setup: Setup, leads: Iterable[tuple[Schedule, str]]) -> list[Node]:
    """Make children of the root from all of these ``(schedule, made by)`` that are not there yet."""
    made_by: dict[Schedule, str] = {}
    for schedule, by in leads:
        if not tree.repeats(tree.root, schedule):
            made_by.setdefault(schedule, by)
    return _add_children(tree, setup, list(made_by.items()), 3)


def _add_children(tree: Tree, setup: Setup, openings: Sequence[tuple[Schedule, str]], salt: int) -> list[Node]:
    config, pool, rng = setup.config, setup.pool, random.Random(setup.seed + salt)
    dealt = [spec.name for spec in sorted(pool.specs.values(), key=lambda spec: spec.size_b)]
    nodes = []
    for index, (schedule, by) in enumerate(openings):
        next_member = pool.largest if config.deal == "largest" else dealt[index % len(dealt)]
        node = tree.add(tree.root, schedule, by, next_member)
        score(setup, node, rng)
        setup.emit(events.Opened(node.id, schedule, node.by, next_member, node.facts.predicted_us))
        nodes.append(node)
    return nodes


def most_diverse(ranked: Sequence[Schedule], width: int) -> list[Schedule]:
    """Up to ``width`` schedules of ``ranked`` (best first): the best of each kind, then the second best, and so on.

    A scorer that is slightly wrong is wrong about a whole kind at once: its best few schedules say little more than the
    best one.
    """
    return _by_rounds(ranked)[:width]


def of_near_sketches(ranked: Sequence[tuple[float, Schedule]], width: int, near: float) -> list[Schedule]:
    """The same of predictions and schedules (best first), with the best of each sketch among them that is predicted to
    take at most ``near`` times as long as the best of all. At most half of the places are theirs.

    A scorer may also be wrong about a whole sketch at once.
    """
    first: dict[tuple[str, str], Schedule] = {}
    for us, schedule in ranked:
        if near > 1 and us <= near * ranked[0][0]:
            first.setdefault((schedule.variant, schedule.sketch), schedule)
    reserved = frozenset(list(first.values())[: width // 2])
    order = _by_rounds([schedule for _, schedule in ranked], reserved)
    others = [schedule for schedule in order if schedule not in reserved][: width - len(reserved)]
    return [schedule for schedule in order if schedule in reserved or schedule in others]


def _by_rounds(ranked: Sequence[Schedule], first: Container[Schedule] = ()) -> list[Schedule]:
    """The best of each kind, and what is in ``first``, then the second best of each kind, and so on."""
    rounds: dict[Hashable, int] = {}
    order = []
    for place, schedule in enumerate(ranked):
        kind = kind_of(schedule)
        rounds[kind] = rounds.get(kind, 0) + 1
        order.append((1 if schedule in first else rounds[kind], place))
    return [ranked[place] for _, place in sorted(order)]


def kind_of(schedule: Schedule) -> Hashable:
    """The variant, and the register tile: the innermost parts of the tiles with the most levels (spatial loops)."""
    tiles = [value for value in schedule.values if isinstance(value, tuple)]
    levels = max((len(tile) for tile in tiles), default=0)
    return (schedule.variant, tuple(tile[-1] for tile in tiles if len(tile) == levels))
