"""A recipe's numbers on a program of other extents."""

from __future__ import annotations

import pytest

from colt.knobs import Schedule
from colt.moves import Factor, read_moves, show_moves
from colt.tvm.devices.host import resolve_target
from colt.tvm.moves.fit import fitted, fitted_factors
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)


@pytest.mark.parametrize(
    ("extent", "factors", "lanes", "fits"),
    [
        (128, (None, 32), (False, False), (None, 32)),
        (100, (None, 32), (False, False), (None, 25)),  # 25 is nearer to 32 than 50
        (100, (None, 4, 16), (False, False, True), (None, 5, 4)),  # 4 lanes, not 20: then 4 becomes 5 of 25
        (7, (None, 16), (False, True), (None, 7)),  # no common divisor
        (100, ("?", "?", 8), (False,) * 3, ("?", "?", 10)),
        (24, (4, 8), (False, False), (3, 8)),
        (64, (4, 8), (False, False), (8, 8)),  # what is left goes outside
        (16, (None, 64), (False, False), (None, 16)),
    ],
)
def test_factors_divide_what_is_left_from_the_inside_out(
    extent: int, factors: tuple[Factor, ...], lanes: tuple[bool, ...], fits: tuple[Factor, ...]
) -> None:
    assert fitted_factors(extent, factors, lanes) == fits


def shown(space: TvmSpace, text: str, on: Schedule | None = None) -> str:
    base = on or space.untuned
    return show_moves(fitted(space.plans.making(base.variant, base.sketch), read_moves(text)))


@pytest.fixture(scope="module")
def odd() -> TvmSpace:
    return TvmSpace.generated(programs.matmul(36, 40, 100), TARGET)


def test_each_number_is_fitted_where_the_move_is_made(odd: TvmSpace) -> None:
    text = "split(C.k, [_, 32]); split(C.k_0, [_, 8]); split(C.j, [_, 16]); vectorize(C.j_1)"
    with pytest.raises(Exception, match="not the innermost"):
        shown(odd, text)
    ordered = text.replace("vectorize", "reorder(C, [i, j_0, k_0_0, k_0_1, k_1, j_1]); vectorize")
    assert shown(odd, ordered).startswith("split(C.k, [_, 25]); split(C.k_0, [_, 4]); split(C.j, [_, 8]); reorder("), (
        "100 is 4 x 25, and 8 of 16 lanes divide 40"
    )


def test_layouts_are_fitted_too(odd: TvmSpace) -> None:
    text = "cache_read(C, B); transform_layout(C, B_global, [d1/16, d0, d1%16])"
    assert shown(odd, text).endswith("transform_layout(C, B_global, [d1/20, d0, d1%20])")


def test_what_divides_stays_and_so_do_loops_that_knobs_decide_on() -> None:
    even = TvmSpace.generated(programs.matmul(64, 64, 64), TARGET)
    text = "split(C.k, [_, 32]); split(C.i, [_, 8])"
    assert shown(even, text) == text
    sketch = even.sketches[0]
    on = Schedule(sketch.variant, sketch.name, ())
    assert shown(even, "split(C.i_1, [_, 4])", on) == "split(C.i_1, [_, 4])", "its turns are those of the first values"
