"""Operators whose numbers are what makes them odd: few bits, domains of functions, integers that overflow or round."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import te, tirx

from tests.helpers.operators.case import Cases, integers, within

CASES = given = Cases()


def _means(x: Any, rows: int, columns: int, dtype: str, name: str = "mean") -> Any:
    k = te.reduce_axis((0, columns), name=f"{name}_k")
    total = te.compute((rows,), lambda i: te.sum(x[i, k], axis=k), name=f"{name}_sum")
    return te.compute((rows,), lambda i: total[i] / tirx.const(columns, dtype), name=name)


def _variances(x: Any, mean: Any, rows: int, columns: int, dtype: str) -> Any:
    k = te.reduce_axis((0, columns), name="v_k")
    squares = te.compute((rows,), lambda i: te.sum((x[i, k] - mean[i]) * (x[i, k] - mean[i]), axis=k), name="squares")
    return te.compute((rows,), lambda i: squares[i] / tirx.const(columns, dtype), name="var")


def _normalised(x: Any, *_: Any, epsilon: float = 1e-5) -> Any:
    wide = x.astype("float64")
    return (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + epsilon)


@given(lambda x, g, b, y: [_normalised(x) * g + b], tolerance=0.1)
def layer_norm_bfloat16() -> Any:
    """PyTorch's LayerNorm over 1,000 features."""
    rows, columns, dtype = 16, 1000, "bfloat16"
    x = te.placeholder((rows, columns), dtype, name="x")
    gain, bias = te.placeholder((columns,), dtype, name="weight"), te.placeholder((columns,), dtype, name="bias")
    mean = _means(x, rows, columns, dtype)
    var = _variances(x, mean, rows, columns, dtype)
    root = te.compute((rows,), lambda i: tirx.rsqrt(var[i].astype("float32") + 1e-5).astype(dtype), name="root")
    y = te.compute((rows, columns), lambda i, j: (x[i, j] - mean[i]) * root[i] * gain[j] + bias[j], name="y")
    return te.create_prim_func([x, gain, bias, y])


@given(lambda x, y: [x.astype("float64").mean((2, 3), keepdims=True)], {0: within(0.0, 1.0, 2, 12, 31, 31)}, 0.02)
def global_average_pool_float16() -> Any:
    """ONNX's GlobalAveragePool."""
    x = te.placeholder((2, 12, 31, 31), "float16", name="x")
    h, w = te.reduce_axis((0, 31), name="h"), te.reduce_axis((0, 31), name="w")
    total = te.compute((2, 12, 1, 1), lambda n, c, i, j: te.sum(x[n, c, h, w], axis=[h, w]), name="total")
    scale = tirx.const(1 / 961, "float16")
    return te.create_prim_func([x, te.compute((2, 12, 1, 1), lambda *at: total(*at) * scale, name="y")])


def _log_softmax(x: Any, *_: Any) -> list[Any]:
    wide = x.astype("float64")
    shifted = wide - wide.max(1, keepdims=True)
    return [shifted - np.log(np.exp(shifted).sum(1, keepdims=True))]


@given(_log_softmax)
def log_softmax_float16() -> Any:
    """PyTorch's log_softmax."""
    rows, columns, dtype = 24, 257, "float16"
    x, a = te.placeholder((rows, columns), dtype, name="x"), te.reduce_axis((0, columns), name="a")
    b = te.reduce_axis((0, columns), name="b")
    top = te.compute((rows,), lambda i: te.max(x[i, a], axis=a), name="top")
    total = te.compute((rows,), lambda i: te.sum(te.exp(x[i, b] - top[i]), axis=b), name="total")
    y = te.compute((rows, columns), lambda i, j: x[i, j] - top[i] - te.log(total[i]), name="y")
    return te.create_prim_func([x, y])


def _binary_cross_entropy(p: Any, t: Any, *_: Any) -> list[Any]:
    p, t = p.astype("float64"), t.astype("float64")
    return [-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum()]


@given(_binary_cross_entropy, {0: within(0.05, 0.95, 32, 53), 1: within(0, 1, 32, 53)})
def binary_cross_entropy() -> Any:
    """PyTorch's BCELoss with reduction="sum"."""
    p, t = te.placeholder((32, 53), name="p"), te.placeholder((32, 53), name="t")
    a, b = te.reduce_axis((0, 32), name="a"), te.reduce_axis((0, 53), name="b")

    def loss(i: Any, j: Any) -> Any:
        return -(t[i, j] * te.log(p[i, j]) + (1.0 - t[i, j]) * te.log(1.0 - p[i, j]))

    each = te.compute((32, 53), loss, name="each")
    return te.create_prim_func([p, t, te.compute((), lambda: te.sum(each[a, b], axis=[a, b]), name="loss")])


@given(lambda x, y: [np.arccosh(x.astype("float64"))], {0: within(1.5, 9.0, 37, 41)})
def acosh() -> Any:
    """ONNX's Acosh: from 1 on."""
    x = te.placeholder((37, 41), name="x")
    y = te.compute((37, 41), lambda i, j: te.log(x[i, j] + te.sqrt(x[i, j] * x[i, j] - 1.0)), name="y")
    return te.create_prim_func([x, y])


@given(lambda x, e, y: [np.power(x.astype("float64"), e)], {0: within(0.1, 3.0, 29, 64), 1: within(-2.0, 2.0, 64)})
def power_broadcast() -> Any:
    """ONNX's Pow with fractional exponents, broadcast."""
    x, e = te.placeholder((29, 64), name="x"), te.placeholder((64,), name="exponent")
    return te.create_prim_func([x, e, te.compute((29, 64), lambda i, j: tirx.pow(x[i, j], e[j]), name="y")])


@given(lambda x, y: [np.log(x.astype("float64").sum(0))], {0: within(0.1, 2.0, 61, 33)})
def reduce_log_sum() -> Any:
    """ONNX's ReduceLogSum over the first axis."""
    x, k = te.placeholder((61, 33), name="x"), te.reduce_axis((0, 61), name="k")
    total = te.compute((33,), lambda j: te.sum(x[k, j], axis=k), name="total")
    return te.create_prim_func([x, te.compute((33,), lambda j: te.log(total[j]), name="y")])


def _batch_norm(x: Any, gain: Any, bias: Any, mean: Any, var: Any, *_: Any) -> list[Any]:
    per = (slice(None), None, None)
    scale = gain.astype("float64")[per] / np.sqrt(var.astype("float64")[per] + 1e-5)
    return [(x.astype("float64") - mean[per]) * scale + bias[per]]


@given(_batch_norm, {4: within(0.2, 2.0, 13)})
def batch_norm_inference() -> Any:
    """PyTorch's BatchNorm2d in evaluation."""
    x = te.placeholder((3, 13, 17, 19), name="x")
    gain, bias, mean, var = (te.placeholder((13,), name=name) for name in ("weight", "bias", "mean", "var"))

    def normalised(n: Any, c: Any, i: Any, j: Any) -> Any:
        return (x[n, c, i, j] - mean[c]) * tirx.rsqrt(var[c] + 1e-5) * gain[c] + bias[c]

    return te.create_prim_func([x, gain, bias, mean, var, te.compute((3, 13, 17, 19), normalised, name="y")])


@given(lambda a, b, y: [np.mod(a, b)], {0: integers(-50, 50, 211), 1: integers(1, 7, 211)})
def integer_mod() -> Any:
    """ONNX's Mod with fmod=0, whose sign is the divisor's."""
    a, b = te.placeholder((211,), "int64", name="a"), te.placeholder((211,), "int64", name="b")
    return te.create_prim_func([a, b, te.compute((211,), lambda i: tirx.floormod(a[i], b[i]), name="y")])


def _unsorted_segment_mean(x: Any, ids: Any, *_: Any) -> list[Any]:
    sums, counts = np.zeros((7, 24)), np.zeros(7)
    np.add.at(sums, ids, x)
    np.add.at(counts, ids, 1)
    return [sums / np.maximum(counts, 1)[:, None]]


@given(_unsorted_segment_mean, {1: integers(0, 7, 90)})
def segment_mean() -> Any:
    """TensorFlow's unsorted_segment_mean; an empty segment has mean 0."""
    x, ids = te.placeholder((90, 24), name="x"), te.placeholder((90,), "int32", name="ids")
    k, n = te.reduce_axis((0, 90), name="k"), te.reduce_axis((0, 90), name="n")
    zero = tirx.const(0.0, "float32")
    total = te.compute(
        (7, 24), lambda s, j: te.sum(tirx.if_then_else(ids[k] == s, x[k, j], zero), axis=k), name="total"
    )
    count = te.compute((7,), lambda s: te.sum((ids[n] == s).astype("int32"), axis=n), name="count")
    mean = te.compute(
        (7, 24), lambda s, j: total[s, j] / te.max(count[s], tirx.const(1, "int32")).astype("float32"), name="mean"
    )
    return te.create_prim_func([x, ids, mean])


def _quantised(x: Any, scale: Any, zero: Any, y: Any) -> list[Any]:
    return [np.clip(np.rint(x / scale[0]) + zero[0], 0, 255)]


@given(_quantised, {1: lambda rng: np.array([0.03125]), 2: integers(120, 136, 1)})
def quantise_linear() -> Any:
    """ONNX's QuantizeLinear to uint8: rounds half to even, saturates."""
    x = te.placeholder((43, 70), name="x")
    scale, zero = te.placeholder((1,), name="scale"), te.placeholder((1,), "uint8", name="zero")

    def quantised(i: Any, j: Any) -> Any:
        value = tirx.nearbyint(x[i, j] / scale[0]) + zero[0].astype("float32")
        return te.max(te.min(value, 255.0), 0.0).astype("uint8")

    return te.create_prim_func([x, scale, zero, te.compute((43, 70), quantised, name="y")])


def _matmul_integer(a: Any, b: Any, zero_a: Any, zero_b: Any, y: Any) -> list[Any]:
    return [(a.astype("int64") - zero_a[:, None].astype("int64")) @ (b.astype("int64") - zero_b.astype("int64"))]


@given(_matmul_integer, {0: integers(0, 256, 37, 53), 1: integers(0, 256, 53, 29), 2: integers(0, 256, 37)})
def matmul_integer() -> Any:
    """ONNX's MatMulInteger over uint8, a zero point for each row and column."""
    a, b = te.placeholder((37, 53), "uint8", name="A"), te.placeholder((53, 29), "uint8", name="B")
    za, zb = te.placeholder((37,), "uint8", name="a_zero_point"), te.placeholder((29,), "uint8", name="b_zero_point")
    k = te.reduce_axis((0, 53), name="k")

    def term(i: Any, j: Any) -> Any:
        left = a[i, k].astype("int32") - za[i].astype("int32")
        return te.sum(left * (b[k, j].astype("int32") - zb[j].astype("int32")), axis=k)

    return te.create_prim_func([a, b, za, zb, te.compute((37, 29), term, name="Y")])


def _requantised(x: Any, multiplier: Any, shift: Any, y: Any) -> list[Any]:
    product = x.astype("int64") * multiplier
    return [np.clip((product + (1 << (shift - 1))) >> shift, -128, 127)]


@given(
    _requantised,
    {0: integers(-30000, 30000, 32, 45), 1: integers(1 << 10, 1 << 14, 45), 2: integers(18, 24, 45)},
)
def requantise() -> Any:
    """Fixed-point requantisation to int8, a multiplier and a shift for each channel."""
    x = te.placeholder((32, 45), "int32", name="x")
    multiplier, shift = te.placeholder((45,), "int64", name="multiplier"), te.placeholder((45,), "int64", name="shift")

    def value(i: Any, j: Any) -> Any:
        one = tirx.const(1, "int64")
        wide = x[i, j].astype("int64") * multiplier[j] + tirx.shift_left(one, shift[j] - one)
        limited = te.max(tirx.const(-128, "int64"), te.min(tirx.const(127, "int64"), tirx.shift_right(wide, shift[j])))
        return limited.astype("int8")

    return te.create_prim_func([x, multiplier, shift, te.compute((32, 45), value, name="y")])


def _popcount(a: Any, b: Any, y: Any) -> list[Any]:
    return [np.unpackbits(a[:, None, :] ^ b[None, :, :], axis=2).sum(2, dtype="int32")]


@given(_popcount, {0: integers(0, 256, 23, 40), 1: integers(0, 256, 31, 40)})
def hamming_distances() -> Any:
    """Set bits of the exclusive or of bytes, counted for each pair of rows."""
    a, b = te.placeholder((23, 40), "uint8", name="a"), te.placeholder((31, 40), "uint8", name="b")
    k = te.reduce_axis((0, 40), name="k")

    def bits(i: Any, j: Any) -> Any:
        return te.sum(tirx.popcount((a[i, k] ^ b[j, k]).astype("int32")), axis=k)

    return te.create_prim_func([a, b, te.compute((23, 31), bits, name="y")])


def _with_holes(rng: np.random.Generator) -> Any:
    x = rng.standard_normal((27, 34))
    x[rng.integers(0, 27, 40), rng.integers(0, 34, 40)] = np.nan
    x[rng.integers(0, 27, 40), rng.integers(0, 34, 40)] = -np.inf
    return x


@given(lambda x, y, found: [np.nan_to_num(x, neginf=-9.0), np.isnan(x)], {0: _with_holes})
def nan_to_num() -> Any:
    """PyTorch's nan_to_num, and where it was NaN as a bool."""
    x = te.placeholder((27, 34), name="x")

    def value(i: Any, j: Any) -> Any:
        finite = tirx.if_then_else(tirx.isinf(x[i, j]), tirx.const(-9.0, "float32"), x[i, j])
        return tirx.if_then_else(tirx.isnan(x[i, j]), tirx.const(0.0, "float32"), finite)

    found = te.compute((27, 34), lambda i, j: tirx.isnan(x[i, j]), name="isnan")
    return te.create_prim_func([x, te.compute((27, 34), value, name="y"), found])


@given(lambda x, y: [np.cov(x, rowvar=False)])
def covariance_float64() -> Any:
    """The sample covariance of 17 variables."""
    x = te.placeholder((83, 17), "float64", name="x")
    a, b = te.reduce_axis((0, 83), name="a"), te.reduce_axis((0, 83), name="b")
    total = te.compute((17,), lambda j: te.sum(x[a, j], axis=a), name="total")
    centred = te.compute((83, 17), lambda i, j: x[i, j] - total[j] / tirx.const(83, "float64"), name="centred")
    products = te.compute((17, 17), lambda i, j: te.sum(centred[b, i] * centred[b, j], axis=b), name="products")
    scale = tirx.const(1 / 82, "float64")
    return te.create_prim_func([x, te.compute((17, 17), lambda i, j: products[i, j] * scale, name="y")])


def _gelu(x: Any, y: Any) -> list[Any]:
    wide = x.astype("float64")
    return [0.5 * wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))]


@given(_gelu)
def gelu() -> Any:
    """PyTorch's GELU, by the error function."""
    x = te.placeholder((19, 101), name="x")
    y = te.compute((19, 101), lambda i, j: 0.5 * x[i, j] * (1.0 + te.erf(x[i, j] * math.sqrt(0.5))), name="y")
    return te.create_prim_func([x, y])


@given(lambda x, y: [x * np.tanh(np.log1p(np.exp(x.astype("float64"))))])
def mish() -> Any:
    """ONNX's Mish."""
    x = te.placeholder((1, 3, 23, 29), name="x")
    y = te.compute((1, 3, 23, 29), lambda *at: x(*at) * te.tanh(te.log(1.0 + te.exp(x(*at)))), name="y")
    return te.create_prim_func([x, y])


def _lrn(x: Any, y: Any) -> list[Any]:
    wide = np.pad(np.square(x.astype("float64")), ((0, 0), (2, 2), (0, 0), (0, 0)))
    sums = sum(wide[:, d : d + 11] for d in range(5))
    return [x / (1.0 + 1e-4 / 5 * sums) ** 0.75]


@given(_lrn)
def local_response_norm() -> Any:
    """ONNX's LRN over five channels."""
    x, d, zero = te.placeholder((2, 11, 13, 15), name="x"), te.reduce_axis((0, 5), name="d"), tirx.const(0.0, "float32")

    def square(n: Any, c: Any, i: Any, j: Any) -> Any:
        at = c + d - 2
        inside = tirx.all(at >= 0, at < 11)
        return te.sum(tirx.if_then_else(inside, x[n, at, i, j] * x[n, at, i, j], zero), axis=d)

    sums = te.compute((2, 11, 13, 15), square, name="sums")
    y = te.compute((2, 11, 13, 15), lambda *at: x(*at) / tirx.pow(1.0 + 2e-5 * sums(*at), 0.75), name="y")
    return te.create_prim_func([x, y])


def _power_spectrum(x: Any, *_: Any) -> list[Any]:
    found = np.fft.fft(x.astype("float64"), axis=1)
    return [found.real, found.imag]


@given(_power_spectrum)
def fourier_transform() -> Any:
    """The discrete Fourier transform of 47 samples: two outputs, of a table that is computed."""
    x, angle = te.placeholder((12, 47), name="x"), -2 * math.pi / 47
    a, b = te.reduce_axis((0, 47), name="a"), te.reduce_axis((0, 47), name="b")
    cos = te.compute((47, 47), lambda f, t: te.cos((f * t).astype("float32") * angle), name="cos")
    sin = te.compute((47, 47), lambda f, t: te.sin((f * t).astype("float32") * angle), name="sin")
    real = te.compute((12, 47), lambda i, f: te.sum(x[i, a] * cos[f, a], axis=a), name="real")
    imaginary = te.compute((12, 47), lambda i, f: te.sum(x[i, b] * sin[f, b], axis=b), name="imaginary")
    return te.create_prim_func([x, real, imaginary])
