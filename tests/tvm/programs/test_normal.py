"""Programs in odd forms: they compute the same in the form that is tuned, and every sketch of it does, too."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
import tvm

from colt.analysis.estimate import estimate_us
from colt.analysis.processor import Machine
from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.arguments import Role
from colt.tvm.programs.emptiness import with_sums_set
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.rests import most_terms
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers.odd_programs import ODD, all_over_nothing, arguments_for

SERIAL = {"one_long_scan", "foreign", "total_in_a_block"}
"""Nothing of it can run in parallel, or it is a single sum of a few terms."""
BEYOND_TVM = {"tiles_in_blocks", "set_in_a_block"}
"""TVM's own rules fail on it as it is written: an initial value that is made of blocks."""
MACHINE = Machine(512, 32, 2, 100.0, 1 << 15, 1 << 20, 1 << 25, 20.0)


def computed(module: Any, name: str) -> list[np.ndarray]:
    given = [tvm.runtime.tensor(array) for array in arguments_for(name)]
    tvm.tirx.build(module, target=resolve_target(None, 2))["main"](*given)
    return [array.numpy() for array in given]


def assert_right(module: Any, name: str) -> None:
    for found, wanted in zip(computed(module, name), ODD[name][1](*arguments_for(name)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ODD)
def test_the_normal_form_computes_the_same(name):
    assert_right(load_program(ODD[name][0]).module, name)


WRITTEN = {name: load_program(program).given for name, (program, _) in ODD.items()}
"""The programs as they are written, where that isn't their normal form."""


@pytest.mark.parametrize("name", [name for name, written in WRITTEN.items() if written is not None])
def test_the_form_as_written_computes_the_same_and_has_sketches(name):
    assert_right(WRITTEN[name], name)
    if name in BEYOND_TVM:
        with pytest.raises(InputError, match="TVM can make no schedule"):
            TvmSpace.generated(WRITTEN[name], resolve_target(None, 2))
        return
    assert TvmSpace.generated(WRITTEN[name], resolve_target(None, 2)).sketches


def test_sums_are_set_before_they_begin():
    """Not once for each of several loops around the rows: that would lose terms."""
    function = load_program(ODD["triangles"][0]).given["main"]
    assert function.script().count("y[vi] = T.float32(0.0)") == 2
    assert with_sums_set(ODD["accumulated"][0]).same_as(ODD["accumulated"][0])


@pytest.mark.parametrize("name", ["awkward_rows", "awkward_pairs"])
def test_sums_of_awkward_lengths_are_cut_since_the_fourth_edition(name):
    function = ODD[name][0]
    assert normal_form(function, 3).same_as(function)
    space = TvmSpace.generated(load_program(function).module, resolve_target(None, 2))
    assert "in the lanes" in space.sketches[0].summary


@pytest.mark.parametrize(
    ("name", "loops"),
    [
        ("rows_in_blocks", ["i, k"]),
        ("softmax_in_blocks", ["r, k"] * 5),
        ("tiles_in_blocks", ["io, jo", "i, j", "ko, i, j, k"]),
    ],
)
def test_blocks_inside_of_blocks_are_opened_since_the_twelfth_edition(name, loops):
    function = ODD[name][0]
    text = normal_form(function).script()
    assert re.findall(r"for (.+, .+) in T.grid", text) == loops
    assert name == "tiles_in_blocks" or normal_form(function, 11).script() != text


def test_one_long_sum_of_few_results_is_left_to_its_sketch():
    function = ODD["one_awkward_row"][0]
    assert normal_form(function).same_as(function)


@pytest.mark.parametrize(("terms", "most"), [(64, 64), (101, 96), (1009, 1008), (100_003, 98_304), (10**7, 9_998_336)])
def test_the_rest_of_a_sum_is_small(terms, most):
    assert most_terms(terms) == most
    assert 0 <= terms - most <= max(15, terms / 32)


@pytest.mark.parametrize("name", ODD)
def test_every_sketch_computes_the_same_and_can_be_estimated(name):
    program = load_program(ODD[name][0])
    space = TvmSpace.generated(program.module, resolve_target(None, 2))
    assert len(space.sketches) >= 1
    for sketch in space.sketches:
        schedule = space.sample(random.Random(0), sketch)
        assert_right(space.module(schedule), name)
        assert estimate_us(space.skeleton(schedule), schedule.values, MACHINE) > 0


@pytest.mark.parametrize("name", sorted(set(ODD) - SERIAL - {"sum_of_nothing"}))
def test_the_first_sketch_runs_in_parallel(name):
    program = load_program(ODD[name][0])
    space = TvmSpace.generated(program.module, resolve_target(None, 2))
    text = space.module(space.sample(random.Random(0), space.sketches[0])).script()
    assert "T.parallel(" in text


@pytest.mark.parametrize("name", sorted(workloads.names()))
def test_programs_in_order_stay_as_they_are(name):
    function = workloads.get(name).build("small")["main"]
    assert normal_form(function).same_as(function)


def test_names_become_unique():
    program = load_program(ODD["placeholders_of_one_name"][0])
    assert [argument.name for argument in program.arguments] == ["placeholder", "placeholder_1", "compute"]


@pytest.mark.parametrize(
    ("name", "roles"),
    {
        "foreign": (Role.INOUT, Role.INOUT),
        "one_block": (Role.INPUT, Role.OUTPUT, Role.OUTPUT),
        "accumulated": (Role.INPUT, Role.INPUT, Role.INOUT),
        "initialised_apart": (Role.INPUT, Role.INPUT, Role.OUTPUT),
        "in_place": (Role.INPUT, Role.INOUT),
        "triangle": (Role.INPUT, Role.INPUT, Role.OUTPUT),
    }.items(),
)
def test_roles_are_what_is_accessed(name, roles):
    assert tuple(argument.role for argument in load_program(ODD[name][0]).arguments) == roles


def test_a_program_over_nothing_is_refused():
    with pytest.raises(InputError, match="computes nothing"):
        load_program(all_over_nothing)
