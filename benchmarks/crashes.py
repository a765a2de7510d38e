"""What ``kill -9`` costs a run: nothing. Runs are killed at random instants and resumed until they come to their end.

``python benchmarks/crashes.py --kills 100`` kills processes of four kinds of runs, each several times: with the
built-in pool and with language models (a server on this machine), both with measurements that are made up; with the
built-in pool and real measurements (``--real`` kills of them); and benchmarks (``--bench`` kills). Then it is checked
that

    no trial that was recorded is measured again, and each is charged once
    every reply that was recorded counts, and no prompt is sent again whose request had left before
    all requests that the server has seen are in the receipt, and beside them only those under way when a run was killed
    the tree is that of an unbroken run with the same answers: ``colt replay`` is identical

Exit code 1 if any of it does not hold. All of it takes an hour on two cores; with ``--out FILE`` it is done in pieces:
each run that came to its end is a line there, and ``--seconds`` says after how many none is begun any more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.chat_server import ChatServer
from tests.helpers.simulated_model import simulated_reply

from colt.store.directory import JOURNAL, PROGRAM, RECEIPT, RECORDING
from colt.store.receipt import load_receipt
from colt.world.answers import MeasuredAnswer, Returned
from colt.world.recording import Recording, read_recording

ROOT = Path(__file__).parents[1]
KEY_VARIABLE = "COLT_TEST_KEY"
OWN_PROGRAM = """
from tvm import te


def layer(m=64, n=96, k=128):
    x, w = te.placeholder((m, k), name="X"), te.placeholder((k, n), name="W")
    j = te.reduce_axis((0, k), name="j")
    y = te.compute((m, n), lambda a, b: te.sum(x[a, j] * w[j, b], axis=j), name="Y")
    return te.create_prim_func([x, w, te.compute((m, n), lambda a, b: te.max(y[a, b], 0.0), name="Z")])
"""
MADE_UP = """
import sys
from colt.cli import process
from colt.measure.base import Pace
from colt.proposers.experts import architect
from colt.world.parts import Parts, using
from tests.helpers.simulated_runs import simulated
architect.OPENING_PREDICTIONS, architect.PROPOSAL_PREDICTIONS = 60, 20
with using(Parts(measurer=lambda limits, peak: simulated(trial_s=0.02, in_turn_s=0.1), pace=Pace.hasty())):
    process()
"""
"""The command line, on a machine whose measurements are made up and in an architect's haste."""
REAL = [sys.executable, "-m", "colt.cli"]
LIMIT_S = 300.0
EARLY, EARLY_S = 0.2, 8.0
"""This share of kills comes within so many seconds of the start, be it before there is anything to lose."""


@dataclass
class Tally:
    """What has happened, and what must not have."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    """In what phase of a run it was killed, by the last event of its journal."""
    lost_requests: int = 0
    """Requests under way when a run was killed."""
    faults: list[str] = field(default_factory=list)

    def require(self, holds: bool, fault: str) -> None:
        """Note a fault."""
        if not holds:
            self.faults.append(fault)
            print(f"FAULT {fault}", flush=True)


def killed(command: Sequence[str], ready: Callable[[], bool], seconds: float, log: Path) -> bool:
    """Run a command and kill it so long after it is ready; false if it ended before."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=log.parent)
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
    return False


def kill_until_done(
    kind: str,
    begin: Sequence[str],
    again: Sequence[str],
    folder: Path,
    begun: Callable[[], bool],
    recorded: Callable[[], int],
    span_s: float,
    most: int,
    tally: Tally,
    rng: random.Random,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Begin, and as often as it is killed, go on, until it comes to its end; after ``most`` kills it is left alone.

    It is killed within ``span_s`` of its first answer (``recorded`` tells their bytes), or now and then at once.
    """
    log = folder / "log"
    kills = 0
    while True:
        early, before = rng.random() < EARLY, recorded()
        instant = rng.uniform(0.0, EARLY_S if early else span_s) if kills < most else LIMIT_S

        def ready(early: bool = early, before: int = before) -> bool:
            return early or recorded() > before

        if not killed(again if begun() else begin, ready, instant, log):
            break
        kills += 1
        if begun():
            tally.kills[kind] += 1
            look()
        tally.require(kills <= most, f"{kind} in {folder} did not come to its end within {LIMIT_S:.0f} s")
        if kills > most:
            return
        time.sleep(0.1)  # workers die with their parents
    tally.runs[kind] += 1
    print(f"{kind}: came to its end after {kills} kills", flush=True)


class Watched:
    """What a run's recording held at each kill: none of it may be lost or done twice."""

    def __init__(self, run: Path, tally: Tally) -> None:
        self._run = run
        self._tally = tally
        self._before = b""
        self.lost: set[int] = set()
        """Tickets of calls under way at some kill."""

    def __call__(self) -> None:
        """Look at what a kill has left."""
        content = (self._run / RECORDING).read_bytes()
        content = content[: content.rfind(b"\n") + 1]
        self._tally.require(content.startswith(self._before), f"{self._run}: what was recorded has changed")
        self._before = content
        self._tally.phases[_phase(self._run / JOURNAL)] += 1
        if content:
            self.lost |= set(read_recording(self._run / RECORDING, unfinished=True).set_aside)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _phase(journal: Path) -> str:
    """The last phase that the journal tells of; what was not flushed is missing."""
    began = re.findall(rb'"event":"began","phase":"([^"]*)"', journal.read_bytes()) if journal.is_file() else []
    return began[-1].decode().partition(" ")[0] if began else "nothing"


def replays(command: Sequence[str], run: Path, tally: Tally) -> None:
    """Hold the tree against that of an unbroken run with the same answers, which thinks as the run did."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run([*command, "replay", str(run)], env=environment, capture_output=True, text=True, check=False)
    tally.require(done.returncode == 0, f"{run}: {done.stdout}{done.stderr[-500:]}")


def check(
    kind: str, command: Sequence[str], run: Path, trials: int, watched: Watched, tally: Tally
) -> Recording | None:
    """Hold a run that came to its end against what must be."""
    if not (run / RECEIPT).exists():
        tally.require(False, f"{kind} {run}: no receipt")
        return None
    receipt, recording = load_receipt(run), read_recording(run / RECORDING)
    measured = [int(line.asked.split()[1][:-1]) for line in recording.lines if isinstance(line.answer, MeasuredAnswer)]
    tally.require(len(measured) == len(set(measured)), f"{kind} {run}: a trial was measured twice")
    tally.require(receipt.trials.total == trials, f"{kind} {run}: {receipt.trials.total} trials of {trials}")
    replays(command, run, tally)
    watched()
    return recording


def kill_tune(
    kind: str, command: list[str], folder: Path, options: list[str], span_s: float, most: int, tally: Tally, trials: int
) -> tuple[Recording | None, Watched]:
    """Kill one run of ``colt tune``, resume it to its end, and check it."""
    run = folder / "run"
    watched = Watched(run, tally)
    begin = [*command, "tune", str(folder / "own.py:layer"), "--trials", str(trials), "--run", str(run), *options]
    again = [*command, "resume", str(run)]

    def begun() -> bool:
        recorded = (run / PROGRAM).is_file()  # it is written last of what a run needs to go on
        if not recorded and run.exists():
            shutil.rmtree(run)  # it was killed while it claimed the directory: nothing was measured that is kept
        return recorded

    (folder / "own.py").write_text(OWN_PROGRAM)
    rng = random.Random(str(folder.name))
    kill_until_done(
        kind, begin, again, folder, begun, lambda: _size(run / RECORDING), span_s, most, tally, rng, watched
    )
    return check(kind, command, run, trials, watched, tally), watched


def kill_models(command: list[str], folder: Path, most: int, tally: Tally) -> None:
    """One run with two language models, whose server counts what it is asked."""
    rng = random.Random(folder.name)
    with ChatServer() as server:
        server.think = lambda body: simulated_reply(body, rng)
        server.delay_s = 0.15
        (folder / "pool.toml").write_text(
            "".join(
                f'[[member]]\nname = "{name}"\nbase_url = "{server.url}"\nsize_b = {size}\n'
                f'api_key_env = "{KEY_VARIABLE}"\nprices = {{ input = 0.25, output = 2 }}\n'
                for name, size in (("small", 7), ("large", 70))
            )
        )
        options = ["--pool", str(folder / "pool.toml"), "--max-usd", "5"]
        recording, watched = kill_tune("models", command, folder, options, 3.0, most, tally, 24)
        seen = [asked.body["messages"][1]["content"] for asked in server.asked]
    if recording is None:
        return
    calls = [call for line in recording.lines if isinstance(line.answer, Returned) for call in line.answer.calls]
    made = [call for call in calls if call.spent.calls]
    lost = [call for call in calls if call.error == "lost"]
    tally.lost_requests += len(lost)
    spent = sum(call.spent.calls for call in calls)
    name = f"models {folder}"
    tickets = Counter(call.ticket for call in calls)
    tally.require(max(tickets.values(), default=1) == 1, f"{name}: a call came back twice")
    tally.require({call.ticket for call in lost} == watched.lost, f"{name}: other calls are lost than were under way")
    # A request that was under way may not have reached the server: it counts as spent nevertheless.
    tally.require(
        len(seen) <= spent <= len(seen) + len(lost), f"{name}: {spent} requests paid, the server saw {len(seen)}"
    )
    unseen = Counter(call.prompt for call in made if call.error is None) - Counter(seen)
    tally.require(not unseen, f"{name}: {sum(unseen.values())} answers to requests that never were")
    twice = Counter(seen) - Counter(call.prompt for call in made)
    tally.require(not twice, f"{name}: {sum(twice.values())} requests that nobody has paid for")


def kill_bench(folder: Path, most: int, tally: Tally) -> None:
    """One small benchmark of two strategies, real in all."""
    out = folder / "out"
    command = [*REAL, "bench", "gemv", "--strategies", "mcts", "random", "--trials", "4", "--seeds", "1"]
    command += ["--peers", "none", "--threads", "1", "--out", str(out)]
    runs = [out / "cells" / "gemv" / f"{name}-0" / "run" for name in ("mcts", "random")]
    watched = {run: Watched(run, tally) for run in runs}

    def look() -> None:
        for run, watch in watched.items():
            if (run / PROGRAM).is_file():
                watch()

    rng = random.Random(folder.name)
    kill_until_done(
        "bench",
        command,
        command,
        folder,
        out.exists,
        lambda: sum(_size(run / RECORDING) for run in runs),
        5.0,
        most,
        tally,
        rng,
        look,
    )
    for run in runs:
        record = json.loads((run.parent / "result.json").read_text())
        tally.require(record["failure"] is None, f"bench {run}: {record['failure']}")
        tally.require(len(record["trials"]) == 4, f"bench {run}: {len(record['trials'])} trials of 4")
        tally.require(not any("anew" in said for said in record["messages"]), f"bench {run}: {record['messages']}")
        watched[run]()
    replays(REAL, runs[0], tally)


def add(tally: Tally, other: Tally) -> None:
    """Count what ``other`` has seen."""
    tally.kills += other.kills
    tally.runs += other.runs
    tally.phases += other.phases
    tally.lost_requests += other.lost_requests
    tally.faults += other.faults


def read(path: Path | None) -> tuple[Tally, int]:
    """What was seen before, and how many runs that is."""
    tally, lines = Tally(), path.read_text().splitlines() if path is not None and path.exists() else []
    for line in lines:
        fields = json.loads(line)
        add(tally, Tally(**{**fields, **{name: Counter(fields[name]) for name in ("kills", "runs", "phases")}}))
    return tally, len(lines)


def report(tally: Tally) -> int:
    """Print it; the exit code."""
    kills = ", ".join(f"{count} of {kind} ({tally.runs[kind]} runs)" for kind, count in tally.kills.items())
    print(f"{sum(tally.kills.values())} kills: {kills}")
    print(f"killed while {', '.join(f'{phase} {count}' for phase, count in tally.phases.most_common())}")
    print(f"{tally.lost_requests} requests to models were under way when their run was killed, and count as spent")
    print(f"{len(tally.faults)} faults")
    return 1 if tally.faults else 0


def main() -> int:
    """Kill, resume, check and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--real", type=int, default=10, help="of runs that really measure")
    parser.add_argument("--bench", type=int, default=6, help="of benchmarks")
    parser.add_argument("--at-once", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, help="a file that keeps what was seen, to go on with")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no run after so many")
    given = parser.parse_args()
    os.environ[KEY_VARIABLE] = "sk-crashes"
    tally, before = read(given.out)
    end, lock, numbers = time.monotonic() + given.seconds, threading.Lock(), itertools.count(before)
    simulated_kills = given.kills - given.real - given.bench
    with tempfile.TemporaryDirectory(prefix="colt-crashes-") as name:
        root = Path(name)
        os.environ["COLT_RECORDS"] = str(root / "records.db")
        made_up = [sys.executable, str(root / "made_up.py")]
        (root / "made_up.py").write_text(MADE_UP)

        def repeat(kind: str, count: int, one: Callable[[Path, Tally], object]) -> None:
            while tally.kills[kind] < count and not tally.faults and time.monotonic() < end:
                folder, seen = root / str(next(numbers)), Tally()
                folder.mkdir()
                one(folder, seen)
                with lock:
                    add(tally, seen)
                    if given.out is not None:
                        with given.out.open("a") as out:
                            out.write(json.dumps(vars(seen)) + "\n")

        def simulated_runs() -> None:
            options = ["--seed", "1"]
            repeat(
                "built-in",
                simulated_kills // 2,
                lambda folder, seen: kill_tune("built-in", made_up, folder, options, 2.0, 10, seen, 60),
            )

        def model_runs() -> None:
            count = simulated_kills - simulated_kills // 2
            repeat("models", count, lambda folder, seen: kill_models(made_up, folder, 8, seen))

        def real_runs() -> None:
            options = ["--pool", "scout,tuner"]
            repeat("bench", given.bench, lambda folder, seen: kill_bench(folder, 3, seen))
            repeat("real", given.real, lambda folder, seen: kill_tune("real", REAL, folder, options, 4.0, 5, seen, 12))

        gate = threading.Semaphore(given.at_once)

        def gated(job: Callable[[], None]) -> None:
            with gate:
                job()

        threads = [threading.Thread(target=gated, args=(job,)) for job in (real_runs, simulated_runs, model_runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return report(tally)


if __name__ == "__main__":
    sys.exit(main())
