"""A program with constants is cut into what depends on them alone, and the rest; both together compute the whole."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te
from tvm.script import tirx as T

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.dots.shims import IMPORT, KEEP, KEEP_IR
from colt.tvm.programs.arguments import Argument
from colt.tvm.programs.constants import PACK, PACKED, WHOLE, constants_of, split, with_constants
from colt.tvm.programs.export import load_module, save_module
from colt.tvm.programs.program import fingerprint, module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.source import load_program, saved_program, with_constant_arguments
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.arguments import to_device
from colt.tvm.workers.kernel import LocalKernel, build_library
from colt.tvm.workers.layout import Layouts

TARGET = resolve_target(None, 2)


def scaled_product(n: int = 32) -> Any:
    """Y = X·(2W)ᵀ + the sums of W's rows; block ``D`` doubles, block ``R`` sums."""
    x, w = (te.placeholder((n, n), name=name) for name in "XW")
    k, r = (te.reduce_axis((0, n), name=name) for name in "kr")
    d = te.compute((n, n), lambda i, j: w[i, j] * 2.0, name="D")
    sums = te.compute((n,), lambda j: te.sum(w[j, r], axis=r), name="R")
    p = te.compute((n, n), lambda i, j: te.sum(x[i, k] * d[j, k], axis=k), name="P")
    return module_of_tensors([x, w, te.compute((n, n), lambda i, j: p[i, j] + sums[j], name="Y")])


def arguments(module: Any) -> tuple[Argument, ...]:
    return arguments_of(module["main"])


def contents(module: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    return [to_device(rng.integers(0, 5, one.shape).astype(one.dtype)) for one in arguments(module)]


def test_what_depends_on_constants_alone_is_computed_ahead() -> None:
    module = with_constants(scaled_product(), ["W"], arguments(scaled_product()))
    parts = split(module)
    assert parts is not None
    assert parts.constants == (1,)
    assert parts.rest == (0, 2)  # W itself is not read any more
    assert sorted(parts.between) == [((32,), "float32"), ((32, 32), "float32")]


@pytest.mark.parametrize("names", [[], ["X"]])
def test_nothing_is_cut_off_where_nothing_depends_on_constants_alone(names: list[str]) -> None:
    assert split(with_constants(scaled_product(), names, arguments(scaled_product()))) is None


def test_a_result_of_constants_alone_stays_in_the_call() -> None:
    w = te.placeholder((4,), name="W")
    module = module_of_tensors([w, te.compute((4,), lambda i: w[i] + 1.0, name="Y")])
    assert split(with_constants(module, ["W"], arguments(module))) is None


def test_a_buffer_that_the_rest_writes_too_is_not_cut_off() -> None:
    """The second nest overwrites a part of what the first makes of constants."""
    from tvm.script import tirx as T

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(X: T.Buffer((8,), "float32"), W: T.Buffer((8,), "float32"), Y: T.Buffer((8,), "float32")) -> None:
        made = T.sblock_alloc_buffer((8,))
        for i in range(8):
            with T.sblock("made"):
                vi = T.axis.spatial(8, i)
                made[vi] = W[vi] * 2.0
        for i in range(1):
            with T.sblock("changed"):
                vi = T.axis.spatial(1, i)
                made[vi] = X[vi]
        for i in range(8):
            with T.sblock("Y"):
                vi = T.axis.spatial(8, i)
                Y[vi] = made[vi]

    module = tvm.IRModule({"main": main.with_attr("global_symbol", "main")})
    assert split(with_constants(module, ["W"], arguments(module))) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [(["V"], "there is no argument 'V'"), (["Y"], "the program writes Y, so it is not the same in every call")],
)
def test_constants_are_arguments_that_are_only_read(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_constants(scaled_product(), names, arguments(scaled_product()))


def test_a_program_keeps_what_it_says_itself_unless_told_otherwise() -> None:
    module = with_constants(scaled_product(), ["W"], arguments(scaled_product()))
    program = load_program(module)
    assert constants_of(program.module["main"]) == ("W",)
    assert constants_of(with_constant_arguments(program, None).module["main"]) == ("W",)
    assert constants_of(with_constant_arguments(program, ["X"]).module["main"]) == ("X",)
    assert constants_of(with_constant_arguments(program, []).module["main"]) == ()


def test_a_program_that_is_saved_as_it_was_written_keeps_its_constants() -> None:
    """The zero points of this one are multiplied out, so it has two forms; a run's directory has the written one."""
    for program in (load_program("quantised-linear"), with_constant_arguments(load_program("quantised-linear"), ["W"])):
        again = saved_program(load_module(save_module(program.given)), program.name, program.size)
        assert fingerprint(again.module) == fingerprint(program.module)
        assert fingerprint(again.given) == fingerprint(program.given)


def test_schedules_compute_the_same_in_two_parts_as_whole() -> None:
    """Of structured sketches and of one of MetaSchedule's: the kernel that is timed, and the three functions of the
    exported library."""
    module = with_constants(scaled_product(), ["W"], arguments(scaled_product()))
    space, layouts = TvmSpace.generated(module, TARGET), Layouts()
    cut = 0
    sketches = {sketch.variant: sketch for sketch in reversed(space.sketches)}
    for sketch in sketches.values():
        scheduled = space.module(space.sample(random.Random(0), sketch))
        library, given = build_library(scheduled, TARGET), contents(module)
        library[WHOLE](*given)
        expected = given[-1].numpy()
        given = contents(module)
        LocalKernel(scheduled, TARGET, layouts).bind(given).call()
        np.testing.assert_array_equal(given[-1].numpy(), expected)
        parts = split(scheduled)
        if parts is None:
            continue
        cut += 1
        between = [to_device(np.zeros(shape, dtype)) for shape, dtype in parts.between]
        given = contents(module)
        library[PACK](*(given[n] for n in parts.constants), *between)
        library[PACKED](*(given[n] for n in parts.rest), *between)
        np.testing.assert_array_equal(given[-1].numpy(), expected)
    assert cut


def test_each_part_brings_along_the_llvm_ir_that_it_calls() -> None:
    """A loop of the other part has imported it. Without it, the first call of a part ends the process."""

    @T.prim_func(s_tir=True)
    def main(x: T.Buffer((8,), "float32"), w: T.Buffer((8,), "float32"), y: T.Buffer((8,), "float32")) -> None:
        T.func_attr({"colt.constants": ["w"]})
        doubled = T.sblock_alloc_buffer((8,))
        for i in T.serial(8):
            with T.sblock("doubled"):
                vi = T.axis.spatial(8, i)
                T.reads(w[vi])
                T.writes(doubled[vi])
                T.call_extern("void", KEEP, doubled.data)
                doubled[vi] = w[vi] * T.float32(2)
        for i in T.serial(8, annotations={IMPORT: KEEP_IR}):
            with T.sblock("y"):
                vi = T.axis.spatial(8, i)
                T.reads(x[vi], doubled[vi])
                T.writes(y[vi])
                T.call_extern("void", KEEP, y.data)
                y[vi] = x[vi] + doubled[vi]

    parts = split(tvm.IRModule({"main": main}))
    assert parts is not None
    assert all("pragma_import_llvm" in part.script() for part in (parts.pack, parts.packed))
    library = {
        name: tvm.tirx.build(tvm.IRModule({name: part.with_attr("global_symbol", name)}), target=TARGET)[name]
        for name, part in ((PACK, parts.pack), (PACKED, parts.packed))
    }
    x, w, between, y = (to_device(np.arange(8, dtype="float32")) for _ in range(4))
    library[PACK](w, between)
    library[PACKED](x, y, between)
    np.testing.assert_array_equal(y.numpy(), np.arange(8) * 3)


def test_nests_computed_ahead_take_no_time_in_the_model() -> None:
    from colt.analysis.estimate import estimate_us
    from colt.analysis.processor import Machine

    machine = Machine(512, 32, 2, 100.0, 1 << 15, 1 << 20, 1 << 25, 20.0)
    whole = scaled_product(256)
    marked = with_constants(whole, ["W"], arguments(whole))
    taken = []
    for module in (whole, marked):
        space = TvmSpace.generated(module, TARGET)
        sketch = next(one for one in space.sketches if one.name == "apart")
        schedule = space.sample(random.Random(0), sketch)
        taken.append(estimate_us(space.skeleton(schedule), schedule.values, machine))
    assert taken[1] < taken[0]
