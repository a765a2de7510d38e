"""What users say of a program's inputs is checked against the program before anything runs."""

import ml_dtypes
import numpy as np
import pytest
from tvm import te, tirx

from colt.errors import InputError
from colt.tvm.programs.arguments import Role
from colt.tvm.programs.domains import Domain
from colt.tvm.programs.inputs import recorded_inputs, user_inputs
from colt.tvm.programs.roles import arguments_of
from tests.helpers.sparse_programs import sparse_rows


def embedding(dtype="float32", index=lambda v: v):
    table, ids = te.placeholder((50, 8), dtype, name="table"), te.placeholder((20,), "int32", name="ids")
    return te.create_prim_func([table, ids, te.compute((20, 8), lambda i, j: table[index(ids[i]), j], name="out")])


def given(inputs, function=None, seed=0):
    function = function or embedding()
    return user_inputs(inputs, arguments_of(function), function, seed)


def refusal(inputs, function=None):
    with pytest.raises(InputError) as caught:
        given(inputs, function)
    return str(caught.value)


IDS = np.arange(20, dtype="int32")
TABLE = np.ones((50, 8), "float32")


def test_arrays_and_ranges_by_name():
    found = given({"ids": IDS, "table": (0.5, 2)})
    np.testing.assert_array_equal(found.arrays[1], IDS)
    assert found.ranges == {0: Domain(0.5, 2.0)}
    assert found.names == ("ids", "table")
    assert given({"ids": (3, 9)}).ranges == {1: Domain(3, 9)}


def test_arrays_in_order_and_from_functions():
    assert set(given([TABLE, IDS]).arrays) == {0, 1}
    drawn = [given(lambda rng: {"ids": rng.integers(0, 50, 20).astype("int32")}, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (one.arrays[1].tolist() for one in drawn)
    assert first == again != other


def test_files(tmp_path):
    np.savez(tmp_path / "named.npz", ids=IDS)
    np.testing.assert_array_equal(given(tmp_path / "named.npz").arrays[1], IDS)
    np.savez(tmp_path / "in_order.npz", TABLE, IDS)
    assert set(given(str(tmp_path / "in_order.npz")).arrays) == {0, 1}


def test_types_that_numpy_lacks(tmp_path):
    function, table = embedding("bfloat16"), TABLE.astype(ml_dtypes.bfloat16)
    assert given({"table": TABLE}, function).arrays[0].tobytes() == table.tobytes()
    assert given({"table": table}, function).arrays[0].tobytes() == table.tobytes()
    np.savez(tmp_path / "few_bits.npz", table=table)  # as bytes without a type
    found = given(tmp_path / "few_bits.npz", function).arrays[0]
    assert (found.dtype, found.tobytes()) == (table.dtype, table.tobytes())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"idz": IDS}, "'idz' is no input of the program"),
        (
            {"out": np.zeros((20, 8), "float32")},
            "out is an output, which the program writes; its inputs are table, ids",
        ),
        ({"ids": IDS[:5]}, r"input ids has the shape (5,); the program takes (20,)"),
        ({"ids": IDS.astype("int64")}, "input ids is of type int64; the program takes int32"),
        ({"table": TABLE.astype("float64")}, "input table is of type float64; the program takes float32"),
        ({"ids": IDS + 31}, "input ids holds 50, with which the program reads or writes outside of a tensor; accepted"),
        ({"ids": IDS - 1}, "input ids holds -1, with which the program reads or writes outside"),
        ({"ids": (0, 50)}, "accepted are 0 to 49"),
        ({"ids": (5, 2)}, "a range goes from a number to one that is not smaller"),
        ({"ids": (0.5, 2)}, "whole numbers from -2147483648 to 2147483647"),
        ({"table": (0, float("nan"))}, "both finite"),
        ({"ids": [1, 2, 3]}, "input ids is of type list; it takes an array, or a range as a pair (low, high)"),
        ({"ids": "many"}, "input ids is of type str"),
        ({3: IDS}, "inputs are named by text, not by 3"),
        ([IDS], "1 inputs are given, the program has 2: table, ids"),
        (17, "inputs are of type int; accepted are a mapping"),
        (lambda rng: None, "inputs are of type NoneType"),
        ("nowhere.npz", "nowhere.npz cannot be read: No such file"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, words):
    assert words in refusal(inputs)


def test_damaged_and_hostile_files_are_refused(tmp_path):
    path = tmp_path / "inputs.npz"
    np.savez(path, ids=np.array([{"a": 1}] * 20, dtype=object))
    assert "holds Python objects in ids; only arrays of numbers are accepted" in refusal(path)
    whole = path.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2], b"not a zip file at all"):
        path.write_bytes(damaged)
        assert "is no .npz file" in refusal(path)
    assert "is not a file" in refusal(tmp_path)
    np.savez_compressed(path, ids=np.zeros((1 << 20,), "int32"))  # its header is looked at before it is unpacked
    assert "has the shape (1048576,)" in refusal(path)


def test_what_the_program_keeps_inside_is_its_own_business():
    def guarded(v):
        return tirx.if_then_else(tirx.all(v >= 0, v < 50), v, 0)

    assert given({"ids": IDS - 1}, embedding(index=guarded))
    assert given({"ids": IDS * 100}, embedding(index=lambda v: tirx.Min(v, tirx.const(49, "int32"))))
    table, ids = te.placeholder((50, 8), name="table"), te.placeholder((20,), "int32", name="ids")
    padded = te.compute((20, 8), lambda i, j: tirx.if_then_else(ids[i] >= 0, table[ids[i], j], 0.0))
    assert given({"ids": IDS - 1}, te.create_prim_func([table, ids, padded]))


def test_affine_indices():
    pages = embedding(index=lambda v: (v - 1) * 2)
    assert given({"ids": (1, 25)}, pages)
    assert "holds 0" in refusal({"ids": (0, 25)}, pages)
    assert "accepted are 1 to 25" in refusal({"ids": (1, 26)}, pages)


def test_pointers_of_rows():
    ends = np.linspace(0, 100, 17).astype("int32")
    assert given({"indptr": ends}, sparse_rows)
    assert "input indptr holds 101" in refusal({"indptr": ends + 1}, sparse_rows)
    assert "input indices holds 30" in refusal({"indices": np.full(100, 30, "int32")}, sparse_rows)


def test_a_runs_config_has_ranges_and_its_folder_the_arrays(tmp_path):
    from colt.tvm.programs.arrays import write_numbered

    function = embedding()
    arguments = arguments_of(function)
    assert [argument.role for argument in arguments] == [Role.INPUT, Role.INPUT, Role.OUTPUT]
    found = given({"ids": IDS, "table": (0.5, 2)})
    table = found.to_config(arguments)
    assert table == {"ids": "inputs.npz", "table": [0.5, 2.0]}
    write_numbered(tmp_path / "inputs.npz", found.arrays)
    again = recorded_inputs(table, tmp_path, arguments, function)
    assert again is not None
    assert again.ranges == found.ranges
    np.testing.assert_array_equal(again.arrays[1], IDS)
    assert recorded_inputs(None, tmp_path, arguments, function) is None
    for wrong in ({"ids": "../../etc/passwd"}, {"ids": 3}, {"table": "inputs.npz"}, {"x": [0, 1]}, [1, 2]):
        with pytest.raises(InputError):
            recorded_inputs(wrong, tmp_path, arguments, function)
