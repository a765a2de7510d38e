"""Which parameters a program reads and writes."""

import pytest

from colt.tvm.workers.access import analyse
from tests.helpers import measure_programs as programs


def reads_and_writes(module):
    access = analyse(module["main"])
    return sorted(access.read), sorted(access.written)


@pytest.mark.parametrize(
    ("module", "read", "written"),
    [
        (programs.matmul(16), [0, 1], [2]),
        (programs.doubles, [0], [1]),
        (programs.doubles_in_place, [0], [0, 1]),
        (programs.doubles_and_clears, [0], [0, 1]),
        (programs.fills_views, [2], [0, 1]),
        (programs.passes_addresses, [0, 1], [0, 1, 2]),
    ],
    ids=["reduction", "elementwise", "in-place", "two-writes", "views", "addresses"],
)
def test_parameters(module, read, written):
    assert reads_and_writes(module) == (read, written)


def test_a_decomposed_reduction_reads_its_output_back():
    access = analyse(programs.scheduled_matmul(16)["main"])
    assert access.written == {2}
    assert access.in_place == {2}
    assert not access.poisonable


def test_an_output_that_is_only_written_can_be_poisoned():
    assert analyse(programs.matmul(16)["main"]).poisonable == {2}
    assert analyse(programs.doubles_in_place["main"]).poisonable == {1}
