"""From what a user names to a program: what is accepted, and what each refusal says."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import tvm
from tvm import te, tirx

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.source import Program, load_program
from colt.tvm.programs.workloads import Argument, Role

HEAD = "import tvm\nfrom tvm import te\nfrom tvm.script import ir as I\nfrom tvm.script import tirx as T\n"
ADD = """
@T.prim_func(s_tir=True)
def {name}(A: T.Buffer((128,), "float32"), B: T.Buffer((128,), "float32")):
    for i in range(128):
        with T.sblock("B"):
            vi = T.axis.remap("S", [i])
            B[vi] = A[vi] + 1.0
"""
TE = """
def scaled(n=64):
    a = te.placeholder((n, n), name="A")
    return te.create_prim_func([a, te.compute((n, n), lambda i, j: a[i, j] * 2.0, name="B")])
"""
A_TENSOR = 'A: T.Buffer((128,), "float32")'
B_TENSOR = 'B: T.Buffer((128,), "float32")'


@pytest.fixture
def write(tmp_path):
    def to_file(*parts: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(HEAD + "\n".join(map(dedent, parts)))
        return path

    return to_file


def function(signature: str, body: str, decorator: str = "@T.prim_func(s_tir=True)") -> str:
    return f"\n{decorator}\ndef f({signature}):\n" + "\n".join(
        f"    {line}" for line in dedent(body).strip().splitlines()
    )


def add_one(n: object = 128, dtype: str = "float32") -> tirx.PrimFunc:
    a = te.placeholder((n,), dtype, name="A")
    return te.create_prim_func([a, te.compute((n,), lambda i: a[i] + a[i], name="B")])


def refusal(spec: object, size: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        load_program(spec, size)
    return str(error.value)


def run(program: Program, *inputs: np.ndarray) -> np.ndarray:
    out = tvm.runtime.tensor(np.full(program.arguments[-1].shape, np.nan, "float32"))
    library = tvm.tirx.build(program.module, target=resolve_target(None, 1))
    library["main"](*map(tvm.runtime.tensor, inputs), out)
    return out.numpy()


# ---- workloads ----


def test_a_workload():
    program = load_program("llama4-scout-mlp")
    workload = workloads.get("llama4-scout-mlp")
    assert (program.name, program.size, program.workload) == ("llama4-scout-mlp", "small", workload)
    assert program.flops == workload.flops("small")
    assert program.min_bytes == workload.min_bytes("small")
    assert program.arguments == workload.arguments("small")
    inputs = [np.full(argument.shape, 0.01, "float32") for argument in program.arguments[:-1]]
    np.testing.assert_array_equal(program.reference(inputs), workload.reference(inputs))


def test_a_workload_at_a_size():
    assert load_program("matmul", "paper").arguments[0].shape == (2048, 2048)
    assert "matmul has no size 'large'; it has small and paper" in refusal("matmul", "large")


def test_an_unknown_workload_names_near_ones_and_what_else_is_accepted():
    message = refusal("mat-mul")
    assert "did you mean matmul" in message
    assert "path/to/file.py:name" in message


@pytest.mark.parametrize("spec", ["", "kernel.txt", "some/folder", "matmul:C"])
def test_what_is_neither_a_workload_nor_a_python_file(spec):
    assert "path/to/file.py:name" in refusal(spec)


@pytest.mark.parametrize("spec", [None, 3, ["matmul"], add_one])
def test_objects_of_other_types(spec):
    assert f"cannot be a {type(spec).__name__}" in refusal(spec)


# ---- objects in hand ----


def test_a_prim_func():
    program = load_program(add_one())
    assert program.module["main"].attrs["global_symbol"] == "main"
    assert program.module["main"].attrs["tirx.noalias"]
    assert program.arguments == (
        Argument("A", (128,), "float32", Role.INPUT),
        Argument("B", (128,), "float32", Role.OUTPUT),
    )
    assert (program.flops, program.min_bytes) == (128, 2 * 4 * 128)
    assert (program.workload, program.size, program.reference) == (None, None, None)
    np.testing.assert_array_equal(run(program, np.ones(128, "float32")), 2.0)


def test_a_module_is_brought_into_normal_form():
    program = load_program(tvm.IRModule({"twice": add_one().with_attr("global_symbol", "twice")}))
    assert [variable.name_hint for variable in program.module.get_global_vars()] == ["main"]
    assert program.module["main"].attrs["global_symbol"] == "main"
    assert program.name == "twice"


def test_a_module_of_several_functions():
    module = tvm.IRModule({"one": add_one(), "two": add_one()})
    assert "holds 2 functions (one, two)" in refusal(module)
    assert "holds 0 functions" in refusal(tvm.IRModule({}))


def test_a_module_of_relax():
    x = tvm.relax.Var("x", tvm.relax.TensorType((4,), "float32"))
    builder = tvm.relax.BlockBuilder()
    with builder.function("main", [x]):
        builder.emit_func_output(x)
    assert "function main of the IRModule is a Function" in refusal(builder.get())


def test_a_size_is_not_for_own_programs(write):
    assert "size 'small' is for workloads" in refusal(add_one(), "small")
    assert "size 'small' is for workloads" in refusal(write(ADD.format(name="add")), "small")


# ---- files ----


def test_the_only_program_of_a_file_needs_no_name(write):
    path = write(ADD.format(name="add"))
    for spec in (path, str(path)):
        program = load_program(spec)
        assert program.name == "mine"
        np.testing.assert_array_equal(run(program, np.zeros(128, "float32")), 1.0)


def test_a_named_program(write):
    path = write(ADD.format(name="add"), ADD.format(name="other"), TE)
    assert load_program(f"{path}:other").name == "other"


def test_a_function_that_returns_a_program(write):
    program = load_program(f"{write(TE)}:scaled")
    assert program.arguments[0].shape == (64, 64)
    np.testing.assert_array_equal(run(program, np.ones((64, 64), "float32")), 2.0)


def test_a_module_class(write):
    body = ADD.format(name="add").replace("\n", "\n    ")
    path = write(f"@I.ir_module(s_tir=True)\nclass Kernels:{body}")
    assert load_program(path).arguments[1].name == "B"


def test_an_alias_is_no_second_program(write):
    assert load_program(write(ADD.format(name="add"), "again = add")).name == "mine"


def test_a_file_may_import_from_its_folder_also_when_called(write):
    write("shift = 5.0", name="my_helper_at_import.py")
    write("size = 16", name="my_helper_at_call.py")
    path = write(
        """
        from my_helper_at_import import shift
        def shifted():
            from my_helper_at_call import size
            a = te.placeholder((size,), name="A")
            return te.create_prim_func([a, te.compute((size,), lambda i: a[i] + shift, name="B")])
        """
    )
    before = list(sys.path)
    program = load_program(f"{path}:shifted")
    assert sys.path == before
    np.testing.assert_array_equal(run(program, np.zeros(16, "float32")), 5.0)


@pytest.mark.parametrize(
    "body", ["raise ValueError('no')", "import sys\nsys.path.append('/elsewhere')", "raise SystemExit"]
)
def test_the_path_and_modules_are_left_as_they_were(write, body):
    path = write(ADD.format(name="add"), body)
    before, modules = list(sys.path), set(sys.modules)
    if "raise" in body:
        refusal(path)
        assert set(sys.modules) == modules
    else:
        load_program(path)
    assert sys.path == before


def test_a_file_edited_within_a_second_is_read_again(write):
    assert load_program(write(ADD.format(name="add"))).arguments[0].shape == (128,)
    assert load_program(write(ADD.format(name="add").replace("128", "256"))).arguments[0].shape == (256,)
    assert not list(write("").parent.glob("__pycache__"))


def test_a_missing_file(tmp_path):
    assert "nowhere.py is not a file" in refusal(tmp_path / "nowhere.py")
    (tmp_path / "folder.py").mkdir()
    assert "folder.py is a folder" in refusal(tmp_path / "folder.py")


def test_nothing_after_the_colon(write):
    assert "names nothing after the colon" in refusal(f"{write(TE)}:")


def test_a_syntax_error_is_shown(write):
    message = refusal(write("x = 1", "y = = 2"))
    assert "mine.py does not load, line 6: SyntaxError: invalid syntax" in message
    assert "y = = 2" in message


def test_an_error_while_importing_is_shown(write):
    message = refusal(write("def fail():\n    return {}['missing']", "", "fail()"))
    assert "mine.py does not load, line 6: KeyError: 'missing'" in message
    assert "return {}['missing']" in message


def test_an_error_in_another_module_shows_the_line_that_called_it(write):
    message = refusal(write("", "import json", "json.loads('{')"))
    assert "does not load, line 7: JSONDecodeError" in message
    assert "json.loads('{')" in message


def test_a_missing_import_is_shown(write):
    assert "ModuleNotFoundError: No module named 'not_installed'" in refusal(write("import not_installed"))


def test_an_error_of_tvmscript_is_shown(write):
    message = refusal(write(ADD.format(name="add").replace("A[vi]", "A[vj]")))
    assert "line 11: DiagnosticError: Undefined variable: vj" in message
    assert "B[vi] = A[vj] + 1.0" in message


def test_a_relative_path_finds_the_line_too(write, monkeypatch):
    monkeypatch.chdir(write(ADD.format(name="add").replace("A[vi]", "A[vj]")).parent)
    assert "mine.py does not load, line 11: DiagnosticError" in refusal("mine.py")
    monkeypatch.chdir(write("def f():\n    return 1 / 0").parent)
    assert "f() fails, line 6: ZeroDivisionError" in refusal("./mine.py:f")


def test_a_program_that_is_not_well_formed_is_refused_without_a_traceback(write):
    message = refusal(write(ADD.format(name="add").replace("A[vi]", "A[i]")))
    assert "the program is not well formed: Loop iterator var i is defined outside of any block" in message
    assert "Traceback" not in message


def test_the_missing_s_tir_is_hinted_at(write):
    assert "lacks s_tir=True" in refusal(write(ADD.format(name="add").replace("(s_tir=True)", "")))


@pytest.mark.parametrize(
    ("body", "today"),
    [
        ("from tvm.script import tir", "from tvm.script import tirx as T"),
        ("import tvm.tir", "from tvm import tirx"),
        ("x = tvm.tir.const(1)", "from tvm import tirx"),
        (ADD.format(name="add").replace("sblock", "block"), "T.sblock, under @T.prim_func(s_tir=True)"),
        ("te.create_schedule(None)", "te.create_prim_func"),
    ],
)
def test_old_spellings_are_hinted_at(write, body, today):
    assert today in refusal(write(body))


def test_an_error_in_the_function_is_shown(write):
    path = write("def broken():\n    return 1 / 0")
    message = refusal(f"{path}:broken")
    assert "broken() fails, line 6: ZeroDivisionError" in message


@pytest.mark.parametrize(("code", "where"), [("raise SystemExit(3)", ""), ("def f():\n    raise SystemExit(3)", ":f")])
def test_a_file_that_exits(write, code, where):
    assert "exits by itself (SystemExit: 3)" in refusal(f"{write(code)}{where}")


@pytest.mark.parametrize(
    ("code", "where"), [("raise KeyboardInterrupt", ""), ("def f():\n    raise KeyboardInterrupt", ":f")]
)
def test_an_interrupt_goes_through(write, code, where):
    before = list(sys.path)
    with pytest.raises(KeyboardInterrupt):
        load_program(f"{write(code)}{where}")
    assert sys.path == before


def test_a_file_without_a_program(write):
    assert "defines no PrimFunc and no IRModule" in refusal(write("x = 1"))
    path = write(TE)
    assert f"name it, as {path}:scaled" in refusal(path)


def test_a_file_with_several_programs_lists_them(write):
    path = write(ADD.format(name="one"), ADD.format(name="two"), ADD.format(name="_hidden"))
    message = refusal(path)
    assert f"defines several programs, one, two: say which, as {path}:one" in message


def test_a_name_that_is_missing_lists_what_there_is(write):
    message = refusal(f"{write(ADD.format(name='one'), TE, 'number = 3')}:three")
    assert "does not define three; it defines one, scaled (" in message
    assert "defines no program" in refusal(f"{write('number = 3')}:three")


@pytest.mark.parametrize(("code", "kind"), [("f = 3", "int"), ("class f: pass", "type"), ("f = [1]", "list")])
def test_a_name_of_something_else(write, code, kind):
    assert f"mine.py:f is of type {kind}; accepted is a PrimFunc" in refusal(f"{write(code)}:f")


def test_a_function_that_needs_arguments(write):
    message = refusal(f"{write('def f(n, *rest, m, k=3, **more): pass')}:f")
    assert "f needs the arguments n, m;" in message


def test_a_function_that_returns_something_else(write):
    assert "f() returns NoneType; accepted is" in refusal(f"{write('def f(): pass')}:f")


# ---- what cannot be tuned ----

COPY = """
for i in range(128):
    with T.sblock("B"):
        vi = T.axis.spatial(128, i)
        B[vi] = A[vi]
"""


def test_dynamic_shapes():
    assert "argument A of main has the dynamic shape (n); a program is tuned" in refusal(
        add_one(tirx.Var("n", "int32"))
    )


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "int4", "float32x4"])
def test_unsupported_data_types(dtype):
    a = te.placeholder((64,), dtype, name="A")
    message = refusal(te.create_prim_func([a, te.compute((64,), lambda i: a[i], name="B")]))
    assert f"argument A of main has the data type {dtype}; accepted are float16, bfloat16, float32" in message


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint64"])
def test_supported_data_types(dtype):
    program = load_program(add_one(dtype=dtype))
    size = {"float16": 2, "bfloat16": 2, "float64": 8, "int8": 1, "uint64": 8}[dtype]
    assert program.min_bytes == 2 * size * 128


@pytest.mark.parametrize(
    ("loop", "meaning"),
    [
        ('T.thread_binding(128, thread="threadIdx.x")', "bound to GPU threads"),
        ("T.parallel(128)", "parallel"),
        ("T.vectorized(128)", "vectorized"),
    ],
)
def test_scheduled_loops(write, loop, meaning):
    path = write(function(f"{A_TENSOR}, {B_TENSOR}", COPY.replace("range(128)", loop)))
    assert f"mine is already scheduled: loop i is {meaning}" in refusal(path)


def test_marked_as_scheduled():
    assert "is already scheduled (it carries tirx.is_scheduled)" in refusal(
        add_one().with_attr("tirx.is_scheduled", True)
    )
    assert load_program(add_one().with_attr("tirx.is_scheduled", False)).flops == 128


def test_bound_to_a_target():
    bound = add_one().with_attr("target", tvm.target.Target({"kind": "llvm"}))
    assert "bound to a target" in refusal(bound)


def test_scalar_arguments(write):
    path = write(function(f"{A_TENSOR}, n: T.int32, {B_TENSOR}", COPY))
    assert "argument n of mine is int32, not a tensor" in refusal(path)


def test_strided_arguments(write):
    body = 'A = T.match_buffer(a, (128,), "float32", strides=({stride},))\n' + COPY
    assert "argument A of mine is strided" in refusal(
        write(function(f"a: T.handle, {B_TENSOR}", body.format(stride=2)))
    )
    assert load_program(write(function(f"a: T.handle, {B_TENSOR}", body.format(stride=1)))).min_bytes == 1024


def test_empty_arguments():
    assert "argument A of main is empty: its shape is (0,)" in refusal(add_one(0))


@pytest.mark.parametrize("decorator", ["@T.prim_func(s_tir=True)", "@T.prim_func", "@T.prim_func(private=True)"])
def test_no_blocks(write, decorator):
    body = "for i in range(128):\n    B[i] = A[i]"
    path = write(function(f"{A_TENSOR}, {B_TENSOR}", body, decorator))
    assert "mine has no blocks to schedule" in refusal(path)


def test_no_output(write):
    body = COPY.replace("B[vi] = A[vi]", "C[vi] = A[vi]")
    body = 'C = T.sblock_alloc_buffer((128,), "float32")\n' + body
    assert "mine writes to none of its arguments" in refusal(write(function(A_TENSOR, body)))


# ---- what is read off ----


def test_arguments_updated_in_place_are_read_and_written(write):
    body = COPY.replace("= A[vi]", "= B[vi] + A[vi]")
    program = load_program(write(function(f"{A_TENSOR}, {B_TENSOR}", body)))
    assert [argument.role for argument in program.arguments] == [Role.INPUT, Role.INOUT]
    assert program.min_bytes == 3 * 512


def test_a_reduction_does_not_read_its_output():
    a = te.placeholder((8, 8), name="A")
    k = te.reduce_axis((0, 8), name="k")
    total = te.compute((8,), lambda i: te.sum(a[i, k], axis=k), name="total")
    twice = te.compute((8,), lambda i: total[i] * 2.0, name="twice")
    program = load_program(te.create_prim_func([a, total, twice]))
    assert [argument.role for argument in program.arguments] == [Role.INPUT, Role.OUTPUT, Role.OUTPUT]
    assert program.flops == 64 + 8


def test_flops_that_nobody_knows(write):
    assert load_program(write(function(f"{A_TENSOR}, {B_TENSOR}", COPY))).flops is None
    ragged = """
    for i in range(128):
        with T.sblock("B"):
            vi = T.axis.spatial(128, i)
            T.reads(L[vi], A[0:128])
            T.writes(B[vi])
            B[vi] = 0.0
            for j in range(L[vi]):
                B[vi] = B[vi] + A[j]
    """
    signature = f'L: T.Buffer((128,), "int32"), {A_TENSOR}, {B_TENSOR}'
    assert load_program(write(function(signature, ragged))).flops is None
