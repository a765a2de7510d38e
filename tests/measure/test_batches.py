"""How many trials are in flight by default."""

from __future__ import annotations

from itertools import pairwise

import pytest

from colt.errors import InputError
from colt.measure.batches import trials_at_once
from colt.options import SearchConfig
from colt.plan import plan

PAIR = {"rpc": "board:9190", "key": "pi"}


def test_one_host_has_the_batch_that_it_always_had() -> None:
    assert trials_at_once(1) == SearchConfig().batch_size


def test_batches_grow_with_hosts_and_keep_all_of_them_busy() -> None:
    sizes = [trials_at_once(hosts) for hosts in range(1, 129)]
    assert all(less <= more for less, more in pairwise(sizes))
    assert all(size >= 2 * hosts for hosts, size in enumerate(sizes, 1))


def test_a_run_on_several_boards_has_their_batch_unless_the_user_says_another() -> None:
    assert plan("matmul", threads=2, boards=16, **PAIR).config.batch_size == trials_at_once(16) > trials_at_once(1)
    assert plan("matmul", threads=2, **PAIR).config == plan("matmul", threads=2).config
    assert plan("matmul", threads=2, boards=16, config={"batch_size": 5}, **PAIR).config.batch_size == 5
    assert plan("matmul", threads=2, boards=16, config=SearchConfig(), **PAIR).config == SearchConfig()


def test_several_boards_are_for_a_tracker() -> None:
    with pytest.raises(InputError, match="boards is 2; it is for boards of a tracker, with rpc and key"):
        plan("matmul", threads=2, boards=2)
    with pytest.raises(InputError, match=r"boards is 0; .* from 1 to 256"):
        plan("matmul", threads=2, boards=0, **PAIR)
