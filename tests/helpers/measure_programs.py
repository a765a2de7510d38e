"""Programs that the measuring tests build: good ones, wrong ones, deadly ones."""

from tvm import IRModule, s_tir, te
from tvm.script import tirx as T


def module(function) -> IRModule:
    return IRModule({"main": function.with_attr("global_symbol", "main")})


def matmul(n: int, dtype: str = "float32", out: str | None = None) -> IRModule:
    a, b = te.placeholder((n, n), name="A", dtype=dtype), te.placeholder((n, n), name="B", dtype=dtype)
    k = te.reduce_axis((0, n), name="k")
    out = out or dtype
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k].astype(out) * b[k, j].astype(out), axis=k), name="C")
    return module(te.create_prim_func([a, b, c]))


def scheduled_matmul(n: int, dtype: str = "float32", out: str | None = None) -> IRModule:
    sch = s_tir.Schedule(matmul(n, dtype, out))
    block = sch.get_sblock("C")
    i, j, k = sch.get_loops(block)
    i0, i1 = sch.split(i, [None, 4])
    j0, j1 = sch.split(j, [None, 16])
    k0, k1 = sch.split(k, [None, 4])
    sch.reorder(i0, j0, k0, k1, i1, j1)
    sch.parallel(i0)
    sch.vectorize(j1)
    sch.unroll(i1)
    sch.decompose_reduction(block, k0)
    return sch.mod


def matmul_missing_a_term(n: int) -> IRModule:
    """As :func:`matmul`, less the last product of each sum."""
    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n - 1), name="k")
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return module(te.create_prim_func([a, b, c]))


def elementwise(dtype: str, fcompute, n: int = 64, out: str | None = None) -> IRModule:
    a = te.placeholder((n,), name="A", dtype=dtype)
    return module(te.create_prim_func([a, te.compute((n,), lambda i: fcompute(a[i]).astype(out or dtype), name="B")]))


@T.prim_func(s_tir=True)
def _doubles(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = A[v] * T.float32(2)


@T.prim_func(s_tir=True)
def _doubles_all_but_one(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for i in range(63):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = A[v] * T.float32(2)


@T.prim_func(s_tir=True)
def _doubles_and_clears(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = A[v] * T.float32(2)
            A[v] = T.float32(0)


@T.prim_func(s_tir=True)
def _doubles_in_place(A: T.Buffer((64,), "float32"), S: T.Buffer((64,), "bool")):
    for i in range(64):
        with T.sblock("A"):
            v = T.axis.spatial(64, i)
            A[v] = A[v] * T.float32(2)
    for i in range(64):
        with T.sblock("S"):
            v = T.axis.spatial(64, i)
            S[v] = A[v] > T.float32(0)


@T.prim_func(s_tir=True)
def _triples_in_place(A: T.Buffer((64,), "float32"), S: T.Buffer((64,), "bool")):
    for i in range(64):
        with T.sblock("A"):
            v = T.axis.spatial(64, i)
            A[v] = A[v] * T.float32(3)
    for i in range(64):
        with T.sblock("S"):
            v = T.axis.spatial(64, i)
            S[v] = A[v] > T.float32(0)


@T.prim_func(s_tir=True)
def _fills_views(A: T.Buffer((64,), "float32"), B: T.Buffer((64,), "float32"), C: T.Buffer((64,), "float32")):
    for i in range(4):
        with T.sblock("B"):
            v = T.axis.spatial(4, i)
            T.reads(C[v * 16 : v * 16 + 16])
            T.writes(B[v * 16 : v * 16 + 16])
            out = T.match_buffer(B[v * 16 : v * 16 + 16], (16,), "float32", offset_factor=1)
            source = T.match_buffer(C[v * 16 : v * 16 + 16], (16,), "float32", offset_factor=1)
            for j in range(16):
                out[j] = source[j]
    for i in range(64):
        with T.sblock("A"):
            v = T.axis.spatial(64, i)
            A[v] = T.float32(1)


@T.prim_func(s_tir=True)
def _passes_addresses(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32"), C: T.Buffer((64,), "int32")):
    C[0] = 1
    T.evaluate(T.call_extern("int32", "memset", T.address_of(A[0]), 0, 256))
    T.evaluate(T.call_extern("int32", "memset", B.access_ptr("w"), 0, 256))


@T.prim_func(s_tir=True)
def _divides_by_zero(A: T.Buffer((256,), "int32"), B: T.Buffer((256,), "int32")):
    for i in range(256):
        with T.sblock("B"):
            v = T.axis.spatial(256, i)
            B[v] = T.truncdiv(7, T.bitwise_and(A[v], 3))  # nobody sees that 0 must not be drawn


@T.prim_func(s_tir=True)
def _runs_only_once(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = T.truncdiv(7, A[v] + 1)
            A[v] = -1


@T.prim_func(s_tir=True)
def _stores_far_away(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v + 1000000000] = A[v]


@T.prim_func(s_tir=True)
def _never_ends(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    with T.sblock("B"):
        while T.int32(1) > 0:
            B[0] = B[0] + A[0]


@T.prim_func(s_tir=True)
def _cannot_be_built(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = T.truncdiv(7, A[v] - A[v])


@T.prim_func(s_tir=True)
def _prints(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = A[v] + T.call_extern("int32", "dprintf", 1, "{not a reply}\n")


@T.prim_func(s_tir=True)
def _is_no_instruction(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    B[0] = A[0]
    T.evaluate(T.call_llvm_intrin("void", "llvm.trap"))


@T.prim_func(s_tir=True)
def _floods_its_output(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    with T.sblock("B"):
        while T.int32(1) > 0:
            B[0] = A[0] + T.call_extern("int32", "dprintf", 1, "{not a reply, over and over again, until the end}\n")


@T.prim_func(s_tir=True)
def _needs_a_gigabyte(A: T.Buffer((64,), "int32"), B: T.Buffer((64,), "int32")):
    C = T.sblock_alloc_buffer((1 << 28,), "int32")
    for i in range(1 << 28):
        with T.sblock("C"):
            v = T.axis.spatial(1 << 28, i)
            C[v] = A[v % 64]
    for i in range(64):
        with T.sblock("B"):
            v = T.axis.spatial(64, i)
            B[v] = C[v * 1024]


doubles = module(_doubles)
doubles_all_but_one = module(_doubles_all_but_one)
doubles_and_clears = module(_doubles_and_clears)
doubles_in_place = module(_doubles_in_place)
triples_in_place = module(_triples_in_place)
fills_views = module(_fills_views)
passes_addresses = module(_passes_addresses)
divides_by_zero = module(_divides_by_zero)
runs_only_once = module(_runs_only_once)
stores_far_away = module(_stores_far_away)
never_ends = module(_never_ends)
cannot_be_built = module(_cannot_be_built)
prints = module(_prints)
is_no_instruction = module(_is_no_instruction)
floods_its_output = module(_floods_its_output)
needs_a_gigabyte = module(_needs_a_gigabyte)
