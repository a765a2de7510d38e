"""Whether the machine waits for language models, in a run whose calls take 5 s each.

    .venv/bin/python benchmarks/idle.py [WORKLOAD ...] [--trials 64] [--call-seconds 5]

A server of the tests, in a separate process, plays both models of a pool: it reads the prompt and answers with random
legal edits after that time. The models are free, so the run does not stop paying for them.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.chat_server import ChatServer
from tests.helpers.simulated_model import simulated_reply

import colt
from colt.proposers.language.money import Prices

POOL = """
[[member]]
name = "small"
base_url = "{url}"
size_b = 7
prices = {{ input = 0, output = 0 }}

[[member]]
name = "large"
base_url = "{url}"
size_b = 70
prices = {{ input = 0, output = 0 }}
"""


def serve(seconds: float) -> None:
    """Print the server's address, then play the models until the input ends."""
    rng = random.Random(0)
    with ChatServer(prices=Prices(Decimal(0), Decimal(0))) as server:
        server.think = lambda body: simulated_reply(body, rng)
        server.delay_s = seconds
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def models(seconds: float) -> Iterator[str]:
    """The text of a pool file whose models answer after ``seconds``."""
    command = [sys.executable, __file__, "--serve", "--call-seconds", str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield POOL.format(url=process.stdout.readline().strip())
        process.communicate()


def measure(workload: str, trials: int, seconds: float) -> str:
    """A row of the table."""
    with models(seconds) as pool, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pool.toml")
        file.write_text(pool)
        receipt = colt.tune(workload, pool=file, trials=trials, use_records=False).receipt
    total, idle = receipt.seconds["total"], receipt.seconds["idle"]
    searching = total - receipt.seconds["starting"] - receipt.seconds["verifying"]
    by_models = sum(receipt.proposers[name].trials for name in ("small", "large"))
    calls = sum(part.answered for part in (receipt.models or {}).values())
    return (
        f"{workload:20} {total:7.1f} {idle:6.1f} {idle / total:6.1%} {idle / searching:9.1%}"
        f" {by_models:4} of {receipt.trials.total} {calls:6}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["matmul", "llama3-attention", "flux-conv"])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--call-seconds", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.call_seconds)
        return
    print("                      seconds          of which  of the search  trials by")
    print("workload                whole   idle     idle      alone      models  calls")
    for workload in options.workloads:
        print(measure(workload, options.trials, options.call_seconds), flush=True)


if __name__ == "__main__":
    main()
