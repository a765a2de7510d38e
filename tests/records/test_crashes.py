"""What was acknowledged is there, whatever happened to whoever wrote: killed processes, a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from colt.records.record import RecordsError
from colt.records.store import Store
from tests.helpers.small_disk import small_disk
from tests.helpers.stored import key, record

STRESS = Path(__file__).parents[2] / "benchmarks" / "records_stress.py"


@pytest.mark.real
def test_nothing_acknowledged_is_lost_and_nothing_is_seen_by_halves() -> None:
    """``benchmarks/records_stress.py`` takes a minute."""
    command = [sys.executable, str(STRESS), "--seconds", "2", "--writers", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_full_disk_refuses_a_record_and_keeps_those_before_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=256) as disk:
        store = Store(disk.path / "records.db")
        store.put([record(1)], {"123": "module"})
        disk.fill()
        with pytest.raises(RecordsError, match=r"records\.db cannot be used: the disk is full"):
            store.put([record(tile) for tile in range(2, 16)], {"124": "module" * 4096})
        disk.clear()
        assert [one.record for one in store.known(key()).records] == [record(1)]
        store.put([record(2)], {})
        assert len(store.all().records) == 2


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        disk.fill()
        with pytest.raises(RecordsError, match="cannot be used"):
            Store(disk.path / "records.db").put([record(1)], {})
        disk.clear()
        assert list(disk.path.iterdir()) == []
