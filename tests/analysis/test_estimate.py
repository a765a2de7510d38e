"""The analytical model ranks as a performance engineer would: each test changes one thing and knows which is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from colt.analysis.estimate import KnownCosts, cost, estimate_us
from colt.analysis.loops import Loop, footprint, stride
from colt.analysis.nests import LLVM_UNROLLS, Nest, Piece, instantiate
from colt.analysis.own import OwnLoops
from colt.analysis.processor import Machine
from colt.analysis.skeleton import FIXED, Block, BlockWork, Iter, LoopSource, MemoryAccess, Skeleton
from colt.knobs import Value

MACHINE = Machine(
    vector_bits=512,
    registers=32,
    threads=2,
    peak_gflops=116.0,
    l1_bytes=32 * 2**10,
    l2_bytes=2**20,
    l3_bytes=32 * 2**20,
    dram=30.0,
)
N = 512
ROW, COLUMN, SUM = range(3)


def access(buffer: str, *iters: int, size: int = N) -> MemoryAccess:
    return MemoryAccess(buffer, (size,) * len(iters), 4, tuple(((iter_, 1.0),) for iter_ in iters))


A, B, C = access("A", ROW, SUM), access("B", SUM, COLUMN), access("C", ROW, COLUMN)


def matmul(b: MemoryAccess = B, local: bool = True) -> Skeleton:
    """S0 S1 R0 S2 R1 S3 over knobs 0 (i), 1 (j), 2 (k) and 3 (unroll)."""
    order = [
        (ROW, 0),
        (COLUMN, 0),
        (ROW, 1),
        (COLUMN, 1),
        (SUM, 0),
        (ROW, 2),
        (COLUMN, 2),
        (SUM, 1),
        (ROW, 3),
        (COLUMN, 3),
    ]
    block = Block(
        name="C",
        iters=(Iter("i", N, False), Iter("j", N, False), Iter("k", N, True)),
        reads=(A, b),
        write=C,
        work=BlockWork(fused=1.0),
        loops=tuple(LoopSource(iter_, iter_, part, 0) for iter_, part in order),
        loop_names=tuple(f"{'ijk'[iter_]}_{part}" for iter_, part in order),
        local=local,
    )
    return Skeleton((block,), max_parallel=32, max_vector=64, unroll_knob=3)


GOOD: tuple[Value, ...] = ((1, 64, 1, 8), (8, 4, 1, 16), (32, 16), 64)


def us(values: tuple[Value, ...], skeleton: Skeleton | None = None) -> float:
    return estimate_us(skeleton or matmul(), values, MACHINE)


def test_a_good_matmul_is_predicted_near_the_peak() -> None:
    at_peak = 2 * N**3 / (2 * MACHINE.peak_gflops) / 1e3
    assert at_peak < us(GOOD) < 1.5 * at_peak


@pytest.mark.parametrize(
    ("what", "worse"),
    [
        ("scalar instead of vectors", ((1, 64, 1, 8), (8, 64, 1, 1), (32, 16), 0)),
        ("half-filled vectors", ((1, 64, 1, 8), (8, 8, 1, 8), (32, 16), 512)),
        ("too few accumulators to hide the latency", ((1, 512, 1, 1), (8, 4, 1, 16), (32, 16), 512)),
        ("one row, so that every load serves one multiplication", ((1, 512, 1, 1), (8, 1, 1, 64), (32, 16), 64)),
        ("a register tile that does not fit", ((1, 16, 1, 32), (8, 1, 1, 64), (32, 16), 512)),
        ("one piece, so that one thread works", ((1, 1, 64, 8), (1, 1, 16, 32), (32, 16), 512)),
    ],
)
def test_worse_schedules_are_predicted_slower(what: str, worse: tuple[Value, ...]) -> None:
    assert us(worse) > 1.15 * us(GOOD), what


def test_gathering_an_operand_is_slower() -> None:
    assert us(GOOD, matmul(b=access("B", COLUMN, SUM))) > 2 * us(GOOD)


def test_accumulating_into_an_argument_is_slower_than_into_a_local_buffer() -> None:
    assert us(GOOD, matmul(local=False)) > 1.5 * us(GOOD)


def test_a_libm_call_per_point_dominates() -> None:
    called = matmul()
    block = replace(called.blocks[0], work=BlockWork(fused=1.0, calls=1.0))
    assert us(GOOD, replace(called, blocks=(block,))) > 20 * us(GOOD)


def test_a_slower_memory_slows_what_does_not_fit_the_caches() -> None:
    small = replace(MACHINE, l3_bytes=2**20, l2_bytes=2**18)
    fast = estimate_us(matmul(), GOOD, small)
    assert estimate_us(matmul(), GOOD, replace(small, dram=0.3)) > 1.5 * fast


def test_what_is_used_piece_by_piece_occupies_a_cache_by_the_piece() -> None:
    iters = (Iter("i", N, False), Iter("j", N, False))
    copied = Block("Y", iters, reads=(access("X", 0, 1),), write=access("Y", 0, 1), work=BlockWork(), loops=())
    row = N * 4

    def misses_us(first: int) -> float:
        pieces = {buffer: Piece(4 * row, first) for buffer in "XY"}
        loops = [Loop(0, N, 1, False), Loop(1, N, 1, False)]
        nest = Nest(OwnLoops(copied, copied.work, loops, vector=0, unrolled=0), times=1, parallel=1, pieces=pieces)
        return cost(nest, replace(MACHINE, l1_bytes=2 * row, l2_bytes=2 * row)).memory_us

    assert misses_us(first=1) < misses_us(first=0)


def test_rows_a_power_of_two_apart_crowd_out_each_other() -> None:
    values: tuple[Value, ...] = ((1, 64, 8, 1), (32, 1, 1, 16), (4, 128), 0)
    crowded = us(values)
    odd = matmul(b=MemoryAccess("B", (N, N + 16), 4, (((SUM, 1.0),), ((COLUMN, 1.0),))))
    assert us(values, odd) < crowded


def test_many_rows_abreast_come_late() -> None:
    """Y = X W^T of matrices that L2 holds, summed in 16 lanes, in tiles of 2 rows of X and some of W."""
    lane, row, column, step = range(4)
    size = 256
    x = MemoryAccess("X", (size, size), 4, (((row, 1.0),), ((step, 16.0), (lane, 1.0))))
    w = MemoryAccess("W", (size, size), 4, (((column, 1.0),), ((step, 16.0), (lane, 1.0))))
    y = MemoryAccess("Y", (size, size, 16), 4, (((row, 1.0),), ((column, 1.0),), ((lane, 1.0),)))
    iters = (Iter("lane", 16, False), Iter("i", size, False), Iter("j", size, False), Iter("k", size // 16, True))
    block = Block("Y", iters, reads=(x, w), write=y, work=BlockWork(fused=1.0), loops=(), local=True)

    def memory_us(rows: int) -> float:
        loops = [Loop(row, size // 2, 2, False), Loop(column, size // rows, rows, False)]
        loops += [Loop(step, size // 16, 1, True), Loop(column, rows, 1, False), Loop(row, 2, 1, False)]
        loops += [Loop(lane, 16, 1, False)]
        pieces = {"Y": Piece(2 * rows * 64, 2)}
        nest = Nest(OwnLoops(block, block.work, loops, vector=1, unrolled=2), times=1, parallel=2, pieces=pieces)
        return cost(nest, MACHINE).memory_us

    assert memory_us(4) == pytest.approx(memory_us(2), rel=0.1)
    assert memory_us(8) > 1.5 * memory_us(4)


def test_a_few_sums_do_not_wait_for_each_other() -> None:
    """What is summed in a row, without a loop, overlaps with the next sums; a longer sum waits for each step."""
    (row, column), step = (0, 1), 2

    def us(terms: int) -> float:
        block = replace(matmul().blocks[0], iters=(Iter("i", N, False), Iter("j", N, False), Iter("k", terms, True)))
        loops = [Loop(row, N, 1, False), Loop(column, N // 16, 16, False), Loop(step, terms, 1, True)]
        loops += [Loop(column, 16, 1, False)]
        own = OwnLoops(block, block.work, loops, vector=1, unrolled=int(terms <= LLVM_UNROLLS))
        return cost(Nest(own, times=1, parallel=2), MACHINE).compute_us

    assert us(4) < us(128) * (4 / 128) / 2


def test_the_untuned_program_runs_on_one_thread_and_in_scalars() -> None:
    block = replace(matmul().blocks[0], loops=tuple(LoopSource(n, FIXED, 0, N) for n in range(3)))
    (nest,) = instantiate(Skeleton((block,), 0, 0, FIXED), ())
    assert (nest.parallel, nest.vector) == (1, 0)


def test_loops_are_fused_for_threads_until_the_limit_is_passed() -> None:
    (nest,) = instantiate(matmul(), ((4, 16, 1, 8), (4, 4, 1, 32), (32, 16), 0))
    assert nest.parallel == 4 * 4 * 16


def test_inner_loops_are_unrolled_within_the_number_of_statements() -> None:
    (nest,) = instantiate(matmul(), ((1, 64, 1, 8), (8, 2, 1, 32), (32, 16), 64))
    (more,) = instantiate(matmul(), ((1, 64, 1, 8), (8, 2, 1, 32), (32, 16), 512))
    assert (nest.unrolled, more.unrolled) == (1, 4)  # the 8 rows; then 16 steps of k and two unit loops as well


def two_blocks() -> Skeleton:
    """C reads the copy A2 of A, whose place is knob 4."""
    copy = Block(
        name="A2",
        iters=(Iter("a", N, False), Iter("b", N, False)),
        reads=(access("A", 0, 1),),
        write=access("A2", 0, 1),
        work=BlockWork(simple=1.0),
        loops=(LoopSource(0, FIXED, 0, N), LoopSource(1, FIXED, 0, N)),
        host=1,
        location_knob=4,
        link=access("A2", ROW, SUM),
        loop_names=("a", "b"),
    )
    consumer = matmul().blocks[0]
    reads = (access("A2", ROW, SUM), consumer.reads[1])
    return replace(matmul(), blocks=(copy, replace(consumer, reads=reads)))


def test_a_block_inside_a_loop_computes_what_the_rest_of_the_loops_need() -> None:
    copy, _ = instantiate(two_blocks(), (*GOOD, "i_1"))
    assert [loop.extent for loop in copy.loops] == [8, 512]
    assert copy.times == 8 * 64
    copy, _ = instantiate(two_blocks(), (*GOOD, "k_0"))
    assert [loop.extent for loop in copy.loops] == [8, 16]
    assert copy.times == 8 * 64 * 4 * 32


def test_a_copy_whose_reader_loads_whole_words_covers_these() -> None:
    """Bytes in words of four, copied under a loop of dots: their read has no dimension for what is in a word."""
    bytes_ = MemoryAccess("B2", (N, N, 4), 1, (((0, 1.0),), ((1, 1.0),), ((2, 1.0),)))
    copy = Block(
        name="B2",
        iters=(Iter("k", N, False), Iter("j", N, False), Iter("in_word", 4, False)),
        reads=(MemoryAccess("B", (4 * N, N), 1, (((0, 4.0), (2, 1.0)), ((1, 1.0),))),),
        write=bytes_,
        work=BlockWork(),
        loops=tuple(LoopSource(n, FIXED, 0, 1, rest=True) for n in range(3)),
        host=1,
        depth=4,
    )
    dots = replace(matmul().blocks[0], reads=(A, replace(B, buffer="B2")), instruction="avx512vnni")
    (nest, _) = instantiate(replace(matmul(), blocks=(copy, dots), explicit=True), GOOD)
    assert [loop.extent for loop in nest.loops] == [16, 16, 4]


def finisher() -> Block:
    """D = C + E, under a loop of the block that sums C up."""
    return Block(
        name="D",
        iters=(Iter("i", N, False), Iter("j", N, False)),
        reads=(C, access("E", 0, 1)),
        write=access("D", 0, 1),
        work=BlockWork(simple=1.0),
        loops=(LoopSource(0, FIXED, 0, N), LoopSource(1, FIXED, 0, N)),
        host=0,
        depth=3,
        location_knob=FIXED,
        link=C,
        loop_names=("i", "j"),
    )


def test_sums_go_on_while_what_finishes_others_waits_for_memory() -> None:
    """A pointwise block brings each register tile to its place; its memory and the sums' work take less together than
    one after the other, and no less than the longer of them."""
    sums, slow = matmul().blocks[0], replace(MACHINE, l3=20.0)
    skeleton = replace(matmul(), blocks=(sums, finisher()))
    alone = [cost(nest, slow) for nest in instantiate(skeleton, GOOD)]
    assert [nest.owner for nest in instantiate(skeleton, GOOD)] == [0, 0]
    together = estimate_us(skeleton, GOOD, slow)
    assert max(sum(part.compute_us for part in alone), sum(part.memory_us for part in alone)) < together
    before = estimate_us(replace(skeleton, in_turn=True), GOOD, slow)
    assert before == sum(part.total_us for part in alone)
    assert together < before


def test_an_inlined_block_vanishes_and_its_work_goes_to_the_consumer() -> None:
    (only,) = instantiate(two_blocks(), (*GOOD, "inline"))
    assert only.work == BlockWork(fused=1.0, simple=1.0)


def test_all_who_read_an_inlined_block_do_its_work() -> None:
    """Softmax without a buffer for its exponentials: the second contraction computes each one again and again."""
    copy, consumer = two_blocks().blocks
    other = replace(consumer, name="D", write=access("D", ROW, COLUMN))
    skeleton = replace(two_blocks(), blocks=(copy, consumer, other))
    both = instantiate(skeleton, (*GOOD, "inline"))
    assert [nest.work.simple for nest in both] == [1.0, 1.0]
    before = instantiate(replace(skeleton, inlined_once=True), (*GOOD, "inline"))
    assert [nest.work.simple for nest in before] == [1.0, 0.0]


def test_a_block_at_the_root_keeps_its_loops_and_its_own_threads() -> None:
    copy, consumer = instantiate(two_blocks(), (*GOOD, "root"))
    assert (copy.times, copy.parallel, consumer.parallel) == (1, 512, 512)


def test_a_guest_ends_the_loops_that_are_fused_for_threads() -> None:
    _, consumer = instantiate(two_blocks(), (*GOOD, "j_0"))
    assert consumer.parallel == 8


def test_short_chains_overlap_with_those_after_them_where_the_processor_looks_far_ahead() -> None:
    short, long = ((1, 64, 8, 1), (32, 1, 1, 16), (128, 4), 16), ((1, 512, 1, 1), (32, 1, 1, 16), (1, 512), 16)
    far = replace(MACHINE, window=200.0)
    assert estimate_us(matmul(), short, far) < 0.7 * estimate_us(matmul(), short, MACHINE)
    assert estimate_us(matmul(), long, far) == estimate_us(matmul(), long, MACHINE)


@pytest.mark.parametrize("field", ["l2_jump", "l3_jump"])
def test_loads_that_go_on_elsewhere_wait(field: str) -> None:
    """A panel of 32 columns of B is read row by row, 2 KB apart: it leaves L1, and all of B leaves a small L2."""
    small = replace(MACHINE, l2_bytes=2**18, peak_gflops=1000.0)
    assert us_on(replace(small, **{field: 20.0})) > us_on(replace(small, **{field: 0.0}))


def us_on(machine: Machine) -> float:
    return estimate_us(matmul(), ((1, 64, 1, 8), (16, 1, 1, 32), (1, 512), 64), machine)


def test_a_dot_instruction_takes_what_was_measured() -> None:
    block = replace(matmul().blocks[0], instruction="avx512bf16")
    dots = replace(matmul(), blocks=(block,))
    values = ((8, 8, 1, 8), (8, 2, 1, 32), (128, 4), 512)
    slow = replace(MACHINE, dots={"avx512bf16": 2.0})
    assert estimate_us(dots, values, MACHINE) == estimate_us(matmul(), values, slow)
    assert estimate_us(dots, values, slow) > 1.5 * estimate_us(dots, values, MACHINE)


def test_what_is_known_of_other_schedules_changes_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither locations, tiles, unrolling and rules that differ, nor that room is made now and then."""
    copy, consumer = two_blocks().blocks
    rows: tuple[Value, ...] = ((4, 16, 2, 4), *GOOD[1:])
    columns: tuple[Value, ...] = (GOOD[0], (8, 2, 2, 16), *GOOD[2:])
    first = replace(two_blocks(), blocks=(copy, consumer, replace(finisher(), host=1)))
    rules: list[dict[str, Any]] = [{}, {"in_turn": True}, {"inlined_once": True}, {"max_vector": 8, "max_parallel": 4}]
    skeletons = [replace(first, **rule) for rule in rules]
    places = ("inline", "root", "i_0", "j_0", "k_0", "i_2")
    schedules = [
        (*values[:3], unroll, place) for values in (GOOD, rows, columns) for unroll in (0, 512) for place in places
    ]
    for room in (10_000, 5):
        monkeypatch.setattr("colt.analysis.estimate.MOST_KNOWN", room)
        known = KnownCosts()
        for values in schedules:
            for skeleton in skeletons:
                assert estimate_us(skeleton, values, MACHINE, known) == estimate_us(skeleton, values, MACHINE)
    assert len({estimate_us(first, values, MACHINE) for values in schedules}) > len(schedules) / 2


@pytest.mark.parametrize(
    ("index", "elements"),
    [
        (((ROW, 1.0),), 5),
        (((ROW, -1.0),), 5),
        (((ROW, 1.0), (COLUMN, 1.0)), 11),
        (((ROW, 16.0), (COLUMN, 1.0)), 71),
        (((ROW, 0.25),), 2),
        (((ROW, 200.0),), N),
        ((), 1),
        (None, N),
    ],
)
def test_elements_that_are_touched_follow_from_the_index(
    index: tuple[tuple[int, float], ...] | None, elements: int
) -> None:
    assert footprint(MemoryAccess("A", (N,), 4, (index,)), [5, 7]) == [elements]


def test_a_loop_moves_an_access_along_the_innermost_dimension_that_its_iter_indexes() -> None:
    diagonal = MemoryAccess("A", (N, 32), 4, (((ROW, 1.0), (SUM, 2.0)), ((ROW, 3.0),)))
    assert [stride(diagonal, Loop(iter_, 4, 8, False)) for iter_ in (ROW, COLUMN, SUM)] == [24, 0, 2 * 8 * 32]
