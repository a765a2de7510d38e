"""What a kernel is written to, and what is made of a run directory that is not what a run left."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import tvm
from tvm import te

from colt.errors import InputError
from colt.run.export import domains_of, export_kernel, loading_lines
from colt.store.directory import PROGRAM
from colt.store.receipt import Receipt, TensorShape, load_receipt
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.constants import Split
from colt.tvm.programs.domains import Domain
from colt.tvm.programs.export import load_module, save_module, takes_arguments

RECEIPT = Path(__file__).parents[1] / "store" / "receipts" / "schema-1-first.json"


@pytest.fixture
def receipt() -> Receipt:
    return load_receipt(RECEIPT)


def test_only_a_file_is_replaced(receipt: Receipt, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.so")
    for taken in (tmp_path / "fifo.so", Path("/dev/full"), tmp_path):
        with pytest.raises(InputError, match="only a file is replaced"):
            export_kernel(tmp_path, receipt, taken)


@pytest.mark.parametrize("field", ["name", "dtype"])
def test_names_that_would_be_code_are_refused(field: str, receipt: Receipt) -> None:
    argument = msgspec.structs.replace(receipt.workload.arguments[0], **{field: "A = 1\nimport os"})
    foreign = msgspec.structs.replace(
        receipt, workload=msgspec.structs.replace(receipt.workload, arguments=(argument,))
    )
    with pytest.raises(InputError, match="not one that a run writes"):
        loading_lines(Path("kernel.so"), foreign)
    assert "import numpy" in loading_lines(Path("kernel.so"), receipt)


def test_a_library_that_kills_whoever_loads_it_is_not_loadable(tmp_path: Path) -> None:
    library = tmp_path / "kernel.so"
    source = tmp_path / "kernel.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) void begin(void) { abort(); }\n")
    assert os.system(f"cc -shared -fPIC -o {library} {source}") == 0
    assert not takes_arguments(library, [])


@pytest.mark.parametrize("content", [b"[]", b"{}", b"3", b"null", b"\xff", b""])
def test_what_is_no_module_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        load_module(content)


@pytest.mark.real
def test_the_kernel_of_another_program_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    library = tmp_path / "kernel.so"
    built = tvm.tirx.build(workloads.get("matmul").build("small"), target=resolve_target(None, 1))
    built.export_library(str(library))
    square = ((512, 512), "float32")
    assert takes_arguments(library, [square] * 3)
    for other in ([square] * 2, [((512, 511), "float32"), square, square], [((512, 512), "float64"), square, square]):
        assert not takes_arguments(library, other)


@pytest.mark.parametrize("name", ["kernel.txt", "kernel", "kernel.so.old"])
def test_the_suffix_says_what_a_kernel_becomes(name: str, receipt: Receipt, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not end in \.so or \.tar"):
        export_kernel(tmp_path, receipt, tmp_path / name)


NAMES = ["model.layers.0.weight", "in", "np", "tvm", "print", "kernel", "x", "x", "x_1", "", "0a", "best.v0", "ﬁ", "fi"]


def test_the_lines_have_names_of_their_own(receipt: Receipt) -> None:
    """They run for every name that a program may have, and pass the arguments in order."""
    arguments = tuple(TensorShape(name=name, shape=(2,), dtype="float32", role="inout") for name in NAMES)
    odd = msgspec.structs.replace(receipt, workload=msgspec.structs.replace(receipt.workload, arguments=arguments))
    lines = loading_lines(Path('a "b".so'), odd).splitlines()
    assert 'load_module("a \\"b\\".so")' in "\n".join(lines)
    passed: list[list[str]] = []
    lines = lines[next(n for n, line in enumerate(lines) if "np.zeros" in line) :]
    made = (f"{line.split(' = ')[0]} = {number}" for number, line in enumerate(lines[:14]))
    code = "\n".join([*made, *lines[14:]]).replace(".numpy()", "")
    exec(code, {"kernel": lambda *given: passed.append(list(given)), "print": lambda value: None})
    assert passed == [list(range(len(NAMES)))]
    assert "model_layers_0_weight = tvm" in lines[0]
    assert lines[0].endswith("# inout, model.layers.0.weight")


def test_a_processor_without_the_instructions_is_refused_before_loading(receipt: Receipt, tmp_path: Path) -> None:
    target = {"kind": "llvm", "mcpu": "znver5", "num-cores": 2}
    lines = loading_lines(Path("kernel.so"), msgspec.structs.replace(receipt, target=target)).splitlines()
    (loads,) = [number for number, line in enumerate(lines) if "load_module" in line]
    check = "\n".join(lines[loads - 2 : loads])
    info = tmp_path / "cpuinfo"
    info.write_text("flags : fma avx avx2 avx512f avx512bw avx512vl avx_vnni avx512_bf16\n")
    with pytest.raises(AssertionError, match=r"a processor with \['avx512_vnni'\]"):
        exec(check.replace("/proc/cpuinfo", str(info)), {})
    info.write_text(info.read_text() + "avx512_vnni\n")
    exec(check.replace("/proc/cpuinfo", str(info)), {})


def test_what_depends_on_constants_is_packed_once(receipt: Receipt) -> None:
    shapes = [TensorShape(name=n, shape=(2,), dtype="float32", role="input") for n in ("X", "W", "Y")]
    given = msgspec.structs.replace(
        receipt, workload=msgspec.structs.replace(receipt.workload, arguments=tuple(shapes))
    )
    packing = Split(pack=None, packed=None, constants=(1,), rest=(0, 2), between=(((4, 2), "int8"),))
    lines = loading_lines(Path("kernel.so"), given, packing).splitlines()
    assert lines[-3:] == [
        'between = [tvm.runtime.empty((4, 2), "int8")]',
        'library["pack"](W, *between)  # once',
        'library["packed"](X, Y, *between)  # each call; library["main"] does both',
    ]
    assert 'library = tvm.runtime.load_module("kernel.so")' in lines


def test_arguments_hold_what_the_program_can_take(receipt: Receipt) -> None:
    """A divisor is not 0, and a table that counts from 1 is not read before its begin."""
    kinds = {"ids": "int64", "rows": "int32", "scale": "float32", "x": "float32"}
    shapes = tuple(TensorShape(name=name, shape=(4,), dtype=kinds[name], role="input") for name in kinds)
    given = msgspec.structs.replace(receipt, workload=msgspec.structs.replace(receipt.workload, arguments=shapes))
    domains = (Domain(3_000_000, 4_000_000), Domain(0, 7, order=True), Domain(0.1, 0.9), None)
    lines = loading_lines(Path("kernel.so"), given, None, domains).splitlines()
    assert 'ids = tvm.runtime.tensor(np.full((4,), 3000000, "int64"))  # input, from 3000000 to 4000000' in lines
    assert 'rows = tvm.runtime.tensor(np.zeros((4,), "int32"))  # input, ascending from 0 to 7' in lines
    assert 'scale = tvm.runtime.tensor(np.full((4,), 0.1, "float32"))  # input, from 0.1 to 0.9' in lines
    assert 'x = tvm.runtime.tensor(np.zeros((4,), "float32"))  # input' in lines


def test_the_saved_program_says_what_it_can_take(tmp_path: Path) -> None:
    def quotient(total: te.Tensor, count: te.Tensor) -> te.Tensor:
        return te.compute((8,), lambda i: tvm.tirx.floordiv(total[i], count[i]), name="mean")

    total, count = (te.placeholder((8,), "int32", name) for name in ("total", "count"))
    module = tvm.IRModule({"main": te.create_prim_func([total, count, quotient(total, count)])})
    assert domains_of(tmp_path) == ()
    (tmp_path / PROGRAM).write_bytes(save_module(module))
    _, divisor, _ = domains_of(tmp_path)
    assert divisor is not None
    assert divisor.low >= 1
