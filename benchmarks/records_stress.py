"""Many processes write records at once, some of them are killed, and others read all the time.

    python benchmarks/records_stress.py                      # 8 writers for a minute, two of them killed
    python benchmarks/records_stress.py --seconds 2 --writers 4

Each writer puts two records in at a time and notes that they were acknowledged. At the end every acknowledged record
has to be there, and at no time may a reader see one of two, or a record that cannot be read. Exit code 1 if not so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from colt.records.record import Key, MachineKey, Origin, ProgramKey, StoredRecord, Versions, Words
from colt.records.store import Store


def pair(writer: int, number: int) -> list[StoredRecord]:
    """Two records of a program that only this writer writes, at this number."""
    program = ProgramKey(structure=f"{writer:08x}{number:08x}", family=f"{writer:016x}")
    machine = MachineKey(target="{}", features="", threads=1, exact_math=False)
    first = StoredRecord(
        name=f"{writer}/{number}",
        key=Key(program=program, machine=machine, versions=Versions(tvm="0")),
        latency_us=1.0 + number,
        verified=True,
        machine="0" * 16,
        cpu="none",
        origin=Origin(by="stress", when="2026-01-01T00:00:00Z"),
        words=Words(variant="plain", sketch="fused", knobs={"tile": [1, number % 64 + 1]}),
    )
    words = Words(variant="plain", sketch="other", knobs={"tile": [2, number % 64 + 1]})
    return [first, msgspec.structs.replace(first, words=words)]


def write(path: Path, writer: int, acknowledged: Path) -> None:
    """Put pairs in until killed or told to end, and note each that was acknowledged."""
    store = Store(path, patience_s=60.0)
    with acknowledged.open("wb", buffering=0) as notes:
        number = 0
        while not path.with_name("end").exists():
            records = pair(writer, number)
            store.put(records, {str(writer): "module"})
            notes.write(f"{records[0].name}\n".encode())
            number += 1


def read(path: Path, report: Path) -> None:
    """Look at all records until told to end; report how often, and what was wrong."""
    looks, halves, unreadable = 0, 0, 0
    while not path.with_name("end").exists():
        found = Store(path, patience_s=60.0).all()
        halves += sum(count != 2 for count in Counter(one.record.name for one in found.records).values())
        unreadable += found.unreadable
        looks += 1
    report.write_text(json.dumps({"looks": looks, "halves": halves, "unreadable": unreadable}))


def stress(folder: Path, seconds: float, writers: int, readers: int, killed: int) -> bool:
    """Run it; whether nothing was lost and nothing seen by halves."""
    path, rng = folder / "records.db", random.Random(0)
    writing = [_start("write", path, n, folder / f"acknowledged-{n}") for n in range(writers)]
    while not path.exists():
        time.sleep(0.01)
    reading = [_start("read", path, n, folder / f"report-{n}") for n in range(readers)]
    ends = sorted(rng.uniform(0.3, 0.9) * seconds for _ in range(killed))
    begun = time.monotonic()
    for process, moment in zip(writing, ends, strict=False):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        process.kill()
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    path.with_name("end").touch()
    codes = [process.wait() for process in (*writing, *reading)]
    return _judge(path, folder, codes, killed)


def _start(what: str, path: Path, number: int, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--be", what, str(path), str(number), str(output)]
    return subprocess.Popen(command, env=os.environ)


def _judge(path: Path, folder: Path, codes: Sequence[int], killed: int) -> bool:
    found = Store(path).all()
    there = Counter(one.record.name for one in found.records)
    noted = [name for file in folder.glob("acknowledged-*") for name in file.read_text().splitlines()]
    lost = sum(there[name] != 2 for name in noted)
    looked = [json.loads(file.read_text()) for file in folder.glob("report-*")]
    with closing(sqlite3.connect(path)) as connection:
        (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
    halves = sum(report["halves"] for report in looked) + sum(count != 2 for count in there.values())
    unreadable = sum(report["unreadable"] for report in looked) + found.unreadable
    failed = sum(code != 0 for code in codes) - killed
    print(f"acknowledged {2 * len(noted)} records in {len(noted)} transactions, {killed} writers killed")
    print(f"there        {sum(there.values())} records in {path.stat().st_size / 1e6:.1f} MB, integrity: {whole}")
    print(f"lost         {2 * lost}")
    print(f"seen halved  {halves}, unreadable {unreadable}, in {sum(report['looks'] for report in looked)} looks")
    print(f"failed       {failed} processes that nobody killed")
    return not (lost or halves or unreadable or failed) and whole == "ok" and bool(noted)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--killed", type=int, default=2)
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be:
        what, path, number, output = given.be
        (write(Path(path), int(number), Path(output)) if what == "write" else read(Path(path), Path(output)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return 0 if stress(Path(folder), given.seconds, given.writers, given.readers, given.killed) else 1


if __name__ == "__main__":
    sys.exit(main())
