"""Files of ONNX: imported as ONNX Runtime computes them, or refused in a sentence."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.sources import load_graph
from colt.tvm.models.tasks import tasks_of
from tests.helpers.onnx_files import FLOAT, INT, network, node, onnx, value, weight, whole, written
from tests.helpers.run_graph import compared


def test_it_computes_what_onnx_runtime_computes(tmp_path: Path) -> None:
    graph = load_graph(network(tmp_path / "m.onnx"), shapes={"x": (2, 4, 8, 8)})
    assert (graph.inputs, graph.outputs, graph.example[0].shape) == (("x",), ("y",), (2, 4, 8, 8))
    assert graph.against == "ONNX Runtime"
    assert compared(graph).ok


def test_batch_norms_are_folded(tmp_path: Path) -> None:
    graph = load_graph(network(tmp_path / "m.onnx"), shapes={"x": (1, 4, 8, 8)})
    assert "batch_norm" not in str(graph.module)


def test_a_clip_is_part_of_the_convolution_before_it(tmp_path: Path) -> None:
    graph = load_graph(network(tmp_path / "m.onnx"), shapes={"x": (1, 4, 8, 8)})
    names = [task.name for task in tasks_of(fused(graph.module, resolve_target(None, 2), CHANNELS_LAST))]
    assert "fused_conv2d_add_maximum_minimum" in names


def quantised(path: Path) -> Path:
    """A convolution of bytes with a scale for each channel, and what is quantised again."""
    parameters = [
        onnx.numpy_helper.from_array(np.array(array, dtype), name)
        for name, array, dtype in (
            ("sx", 0.02, "float32"),
            ("zx", 128, "uint8"),
            ("sw", [0.01, 0.02, 0.03], "float32"),
            ("zw", [0, 0, 0], "int8"),
            ("sy", 0.05, "float32"),
            ("zy", 3, "uint8"),
            ("w", np.random.default_rng(0).integers(-127, 128, (3, 4, 3, 3)), "int8"),
        )
    ]
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["qx"]),
        node("DequantizeLinear", ["qx", "sx", "zx"], ["dx"]),
        node("DequantizeLinear", ["w", "sw", "zw"], ["dw"], axis=0),
        node("Conv", ["dx", "dw"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("QuantizeLinear", ["r", "sy", "zy"], ["q"]),
        node("DequantizeLinear", ["q", "sy", "zy"], ["y"]),
    ]
    return written(path, nodes, [value("x", FLOAT, [1, 4, 8, 8])], parameters, rank=4)


def test_a_quantised_model_multiplies_integers(tmp_path: Path) -> None:
    graph = load_graph(quantised(tmp_path / "m.onnx"))
    found = compared(graph)
    assert (found.ok, graph.narrow) == (True, "int8")
    tasks = tasks_of(fused(graph.module, resolve_target(None, 2), CHANNELS_LAST))
    (product,) = [task.module["main"] for task in tasks if "conv2d" in task.name]
    assert [str(one.ty.dtype) for one in product.params[:2]] == ["uint8", "int8"]


def test_open_sizes_are_1_and_that_is_said(tmp_path: Path) -> None:
    path = written(
        tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], [value("x", FLOAT, ["n", 4])], [weight("w", 4, 2)]
    )
    graph = load_graph(path)
    assert graph.example[0].shape == (1, 4)
    assert any("x is compiled for the shape [1, 4]" in note for note in graph.notes)
    assert not any("shape" in note for note in load_graph(path, shapes={"x": (3, 4)}).notes)


def test_a_size_that_is_given_holds_for_all_inputs_that_have_it(tmp_path: Path) -> None:
    inputs = [value("x", FLOAT, ["n", 4]), value("z", FLOAT, ["n", 4])]
    path = written(tmp_path / "m.onnx", [node("Add", ["x", "z"], ["y"])], inputs, [])
    assert [one.shape for one in load_graph(path, shapes={"z": (5, 4)}).example] == [(5, 4), (5, 4)]
    with pytest.raises(InputError, match="size n is 5 for one input and 6 for another"):
        load_graph(path, shapes={"x": (5, 4), "z": (6, 4)})


def test_integers_are_drawn_within_what_they_index(tmp_path: Path) -> None:
    nodes = [node("Cast", ["ids"], ["i"], to=INT), node("Gather", ["table", "i"], ["y"])]
    path = written(tmp_path / "m.onnx", nodes, [value("ids", 6, ["n"])], [weight("table", 3, 2)])
    graph = load_graph(path, shapes={"ids": (50,)})
    assert set(graph.example[0]) == {0, 1, 2}
    assert graph.example[0].dtype == np.int32
    assert compared(graph).ok


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"z": (1,)}, "no input z; "),
        ({"x": (1, 5, 8, 8)}, r"cannot be of shape \[1, 5, 8, 8\]; it takes \[batch, 4, side, side\]"),
        ({"x": (1, 4, 8)}, "cannot be of shape"),
        ({"x": (1, 4, 8, 9)}, "size side is 8 for one input and 9 for another"),
        ({"x": (10**9, 4, 10, 10)}, "more than"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tmp_path: Path, shapes: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_graph(network(tmp_path / "m.onnx"), shapes=shapes)


class Tensor:
    """Whatever follows DLPack."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self._array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("handed", [np.asarray, Tensor], ids=["arrays", "tensors"])
def test_an_example_may_be_in_order_or_by_name(tmp_path: Path, handed: Any) -> None:
    x, z = np.full((2, 4), 3, "float32"), np.full((2, 4), 5, "float32")
    inputs = [value("x", FLOAT, [2, 4]), value("z", FLOAT, [2, 4])]
    path = written(tmp_path / "m.onnx", [node("Sub", ["x", "z"], ["y"])], inputs, [])
    given = {"z": handed(z), "x": handed(x)}
    for example in ((given["x"], given["z"]), [given["x"], given["z"]], given):
        np.testing.assert_array_equal(load_graph(path, example).example, [x, z])
    one = written(tmp_path / "one.onnx", [node("Relu", ["x"], ["y"])], inputs[:1], [])
    np.testing.assert_array_equal(load_graph(one, handed(x)).example, [x])


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ([[[1.0] * 4] * 2], "the example for input x is of type list; accepted are arrays of NumPy and tensors"),
        ({"x": None}, "the example for input x is of type NoneType"),
        ("x", "example inputs cannot be of type str"),
        ({}, "the example inputs lack x; the model takes x"),
        ({"x": np.zeros((2, 4), "float32"), "w": 1}, "the model has no input w; there are x"),
        (np.zeros((2, 5), "float32"), r"input x is float32\[2, 5\]; it takes float32\[2, 4\]"),
        ((np.zeros(1), np.zeros(1)), r"the model takes 1 input \(x\); the example has 2"),
    ],
    ids=["nested", "none", "text", "empty", "unknown", "shape", "two"],
)
def test_an_example_that_is_none_is_refused(tmp_path: Path, example: Any, said: str) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], [value("x", FLOAT, [2, 4])], [])
    with pytest.raises(InputError, match=said):
        load_graph(path, example)


def test_types_that_onnx_runtime_has_no_arrays_of_are_compared_with_nothing(tmp_path: Path) -> None:
    kind = onnx.TensorProto.BFLOAT16
    output = value("y", kind, [2, 4])
    graph = onnx.helper.make_graph([node("Cast", ["x"], ["y"], to=kind)], "g", [value("x", FLOAT, [2, 4])], [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = load_graph(path)
    assert found.reference is None
    assert found.notes[-1] == (
        "outputs are compared with nothing: ONNX Runtime exchanges no arrays of such a type as y has, tensor(bfloat16)"
    )


def test_onnx_runtime_reads_a_large_model_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of more than 2 GB cannot be handed over."""
    path = network(tmp_path / "m.onnx")
    monkeypatch.setattr("colt.tvm.models.onnx_graph._small", lambda model: False)
    monkeypatch.setattr(onnx.ModelProto, "SerializeToString", None, raising=False)
    assert compared(load_graph(path, shapes={"x": (1, 4, 8, 8)})).ok


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x is float64\[1, 4\]; it takes float32\[1, 4, 1, 1\]"):
        load_graph(network(tmp_path / "m.onnx"), [np.zeros((1, 4))])


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("Det", ["x"], ["y"], name="odd")], "operator Det is not supported, node odd"),
        (
            [node("Relu", ["x"], ["a"]), node("Det", ["a"], ["y"])],
            "operator Det is not supported, the node that gives y",
        ),
        ([node("Reshape", ["x", "s"], ["y"], name="odd")], "operator Reshape cannot be imported, node odd: "),
        ([node("Relu", ["y"], ["a"]), node("Relu", ["a"], ["y"])], "is not a model of ONNX"),
    ],
    ids=["unsupported", "without a name", "shape from an input", "in a circle"],
)
def test_operator_and_node_are_named(tmp_path: Path, nodes: Any, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """And nothing else is said: TVM remarks on what it has not finished."""
    path = written(tmp_path / "m.onnx", nodes, [value("x", FLOAT, [2, 2]), value("s", INT, [2])], [])
    with pytest.raises(InputError, match=said) as refused:
        load_graph(path)
    del refused
    gc.collect()
    assert "BlockBuilder" not in capfd.readouterr().err


IMAGE = value("x", FLOAT, [1, 2, 7, 9])


@pytest.mark.parametrize(
    ("made", "scales", "said"),
    [
        (node("Resize", ["x", "", "s"], ["y"], mode="linear"), [1, 1, 1.5, 2], "no whole numbers of rows"),
        (node("Resize", ["x", "", "s"], ["y"], mode="linear", antialias=1), [1, 1, 2, 2], "one pixel of several"),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_LOWER"), [1], "and comes first"),
        (node("ReduceL2", ["x"], ["y"], noop_with_empty_axes=1), [1], "over no axes"),
        (node("ConvTranspose", ["x", "w"], ["y"], output_shape=[14, 18], strides=[2, 2]), [1], "shape of its result"),
    ],
)
def test_what_the_importer_would_compute_otherwise_is_refused(
    tmp_path: Path, made: Any, scales: list[float], said: str
) -> None:
    weights = [onnx.numpy_helper.from_array(np.array(scales, "float32"), "s"), weight("w", 2, 2, 3, 3)]
    path = written(tmp_path / "m.onnx", [made], [IMAGE], weights, 4)
    model = onnx.load(path)
    model.opset_import[0].version = 18
    onnx.save(model, path)
    with pytest.raises(InputError, match=rf"operator {made.op_type} cannot be imported, node .*{said}"):
        load_graph(path)


ODD = np.array([[np.nan, np.inf, -np.inf, 0], [2.5, -1, -0.0, 0.6]], "float32")


def told(nodes: list[Any], name: str = "t") -> list[Any]:
    """The nodes, whose last result is bools, as floats."""
    return [*nodes, node("Cast", [name], ["y"], to=FLOAT)]


@pytest.mark.parametrize(
    "nodes",
    [
        told([node("Equal", ["x", "x"], ["e"]), node("Not", ["e"], ["t"])]),
        told([node("Less", ["x", "one"], ["e"]), node("Not", ["e"], ["t"])]),
        told([node("IsInf", ["x"], ["t"], detect_negative=0)]),
        told([node("IsInf", ["x"], ["t"], detect_positive=0)]),
        told([node("IsInf", ["x"], ["t"])]),
        told([node("IsInf", ["x"], ["t"], detect_positive=0, detect_negative=0)]),
        [node("Elu", ["x"], ["y"], alpha=0.5)],
        [node("Selu", ["x"], ["y"])],
        [node("Celu", ["x"], ["y"], alpha=0.7)],
        [node("HardSigmoid", ["x"], ["y"], alpha=0.3)],
        [node("Sign", ["x"], ["y"])],
        [node("ThresholdedRelu", ["x"], ["y"], alpha=0.5)],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_infinities_and_nan_are_taken_as_onnx_runtime_takes_them(tmp_path: Path, nodes: list[Any]) -> None:
    one = onnx.numpy_helper.from_array(np.float32(1), "one")
    path = written(tmp_path / "m.onnx", nodes, [value("x", FLOAT, [2, 4])], [one])
    assert compared(load_graph(path, [ODD])).ok


@pytest.mark.parametrize(("kind", "least"), [("ArgMax", -np.inf), ("ArgMin", np.inf)])
def test_infinities_alone_have_a_largest(tmp_path: Path, kind: str, least: float) -> None:
    path = written(tmp_path / "m.onnx", told([node(kind, ["x"], ["t"], axis=1)]), [value("x", FLOAT, [2, 4])], [])
    assert compared(load_graph(path, [np.full((2, 4), least, "float32")])).ok


@pytest.mark.parametrize("inputs", [["x"], ["x", "b"], ["x", "b", "row"], ["row", "x"]], ids="-".join)
@pytest.mark.parametrize("kind", ["Max", "Min", "Sum", "Mean"])
def test_several_tensors_are_combined(tmp_path: Path, kind: str, inputs: list[str]) -> None:
    path = written(
        tmp_path / "m.onnx",
        [node(kind, inputs, ["y"])],
        [value("x", FLOAT, [2, 3])],
        [weight("b", 2, 3), weight("row", 3)],
    )
    assert compared(load_graph(path)).ok


def test_means_far_from_zero_leave_the_deviation(tmp_path: Path) -> None:
    made = node("MeanVarianceNormalization", ["x"], ["y"])
    path = written(tmp_path / "m.onnx", [made], [value("x", FLOAT, [2, 3, 4, 4])], [], 4)
    far = 1000 + np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype("float32")
    assert compared(load_graph(path, [far])).ok


@pytest.mark.parametrize("axis", [-1, 0])
def test_one_hot_takes_indices_from_both_ends(tmp_path: Path, axis: int) -> None:
    values = onnx.numpy_helper.from_array(np.array([-1, 2.5], "float32"), "v")
    path = written(
        tmp_path / "m.onnx",
        [node("OneHot", ["i", "d", "v"], ["y"], axis=axis)],
        [value("i", INT, [5])],
        [whole("d", 4), values],
    )
    assert compared(load_graph(path, [np.array([0, 3, -1, -4, 7])])).ok


def test_results_of_a_norm_that_nobody_takes_are_left_out(tmp_path: Path) -> None:
    """Those that somebody takes are refused."""
    made = node("LayerNormalization", ["x", "s"], ["y", "mean", "factor"], name="odd")
    x, scale = value("x", FLOAT, [2, 4]), weight("s", 4)
    assert compared(load_graph(written(tmp_path / "m.onnx", [made], [x], [scale]))).ok
    taken = [node("LayerNormalization", ["x", "s"], ["z", "y"], name="odd")]
    with pytest.raises(InputError, match=r"operator LayerNormalization cannot be imported, node odd: .*first result"):
        load_graph(written(tmp_path / "m.onnx", taken, [x], [scale]))


def test_what_was_before_resize_is_refused(tmp_path: Path) -> None:
    made = node("Upsample", ["x"], ["y"], name="odd", scales=[1.0, 1.0, 2.0, 2.0])
    path = written(tmp_path / "m.onnx", [made], [IMAGE], [], 4)
    model = onnx.load(path)
    model.opset_import[0].version = 7
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"operator Upsample cannot be imported, node odd: .*Resize"):
        load_graph(path)


@pytest.mark.parametrize("inputs", [["x"], ["x", "s", "t"]])
def test_a_dropout_drops_nothing(tmp_path: Path, inputs: list[str]) -> None:
    given = [onnx.numpy_helper.from_array(one, name) for name, one in (("s", np.float32(0.5)), ("t", np.array(False)))]
    nodes = [node("Dropout", inputs, ["a", "mask"]), node("Relu", ["a"], ["y"])]
    assert compared(load_graph(written(tmp_path / "m.onnx", nodes, [value("x", FLOAT, [2, 2])], given))).ok


def test_factors_that_make_whole_numbers_are_taken(tmp_path: Path) -> None:
    weights = [onnx.numpy_helper.from_array(np.array([1, 1, 2, 3], "float32"), "s")]
    made = node("Resize", ["x", "", "s"], ["y"], mode="linear")
    assert compared(load_graph(written(tmp_path / "m.onnx", [made], [IMAGE], weights, 4))).ok


def test_an_operator_of_somebody_elses_is_none_of_onnx(tmp_path: Path) -> None:
    """Whatever it is called."""
    path = written(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"], name="odd")], [value("x", FLOAT, [2, 2])], [])
    model = onnx.load(path)
    model.graph.node[0].domain = "own"
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"operator own\.Relu is not supported, node odd"):
        load_graph(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"model", b"\xff" * 3000])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a model of ONNX"):
        load_graph(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = network(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="is not a model of ONNX"):
        load_graph(path)


def test_weights_that_are_not_there_or_elsewhere_are_refused(tmp_path: Path) -> None:
    vast, outside = weight("w", 4), weight("w", 4)
    vast.dims[:] = [10**9, 10**9]
    outside.ClearField("raw_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret")
    (tmp_path / "secret").write_bytes(bytes(16))
    (tmp_path / "in").mkdir()
    for wrong in (vast, outside):
        path = written(
            tmp_path / "in" / "m.onnx", [node("Mul", ["x", "w"], ["y"])], [value("x", FLOAT, [4])], [wrong], 1
        )
        with pytest.raises(InputError, match="is not a model of ONNX"):
            load_graph(path)


def test_shapes_are_for_onnx_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shapes are for \.onnx files"):
        load_graph(tmp_path / "m.pt2", shapes={"x": (1,)})
