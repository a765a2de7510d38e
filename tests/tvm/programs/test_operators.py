"""Programs of public operators: each computes what NumPy does, before it is tuned and after."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tvm
from tvm.target import Target
from tvm.tirx import PrimFunc
from tvm_ffi import structural_equal

import colt
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.source import load_program
from tests.helpers.operators import FILES, every_case
from tests.helpers.operators.case import Case

CASES = every_case()
PLAIN_CODE = Target(json.loads(str(resolve_target(None, 1))) | {"opt-level": 0})
"""Code that LLVM does not optimise, which would take most of the time: it is not what is tested."""
TUNED = ("a_sum_of_nothing", "largest_and_where", "names_of_the_printed_lines")


def assert_right(name: str, kernel: Any, module: Any) -> None:
    _, case = CASES[name]
    parameters = [(tuple(map(int, one.ty.shape)), str(one.ty.dtype)) for one in module["main"].params]
    before = case.arguments(parameters)
    tensors = [tvm.runtime.tensor(array) for array in before]
    kernel(*tensors)
    error, allowed = case.error(before, [tensor.numpy() for tensor in tensors])
    assert error <= allowed


def program_of(case: Case) -> Any:
    """What ``FILE.py:NAME`` loads. The file, which is run each time, takes a second or two."""
    return case.program if isinstance(case.program, PrimFunc | tvm.IRModule) else case.program()


@pytest.mark.parametrize("file", FILES, ids=lambda file: Path(file.__file__).stem)
def test_programs_are_loaded_from_their_files(file: ModuleType) -> None:
    name = next(iter(file.CASES))
    spec, case = CASES[name]
    assert structural_equal(load_program(spec).module, load_program(program_of(case)).module)


@pytest.mark.parametrize("name", CASES)
def test_the_untuned_program_computes_what_numpy_does(name: str) -> None:
    module = load_program(program_of(CASES[name][1])).module
    assert_right(name, tvm.tirx.build(module, target=PLAIN_CODE)["main"], module)


@pytest.mark.parametrize("name", TUNED)
def test_the_exported_kernel_computes_what_numpy_does(name: str, tmp_path: Path) -> None:
    result = colt.tune(CASES[name][0], trials=2, pool=["scout"], config={"batch_size": 2, "constructed": 1})
    library = result.export(tmp_path / "kernel.so")
    assert_right(name, tvm.runtime.load_module(str(library))["main"], load_program(CASES[name][0]).module)
