"""Design spaces that several threads of one fresh process generate at once."""

from __future__ import annotations

import subprocess
import sys

AT_ONCE = """
import sys, threading
from colt.tvm.own import leave_torch_out
leave_torch_out()
from colt.options import SpaceKind
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace

programs = [load_program(name, "small") for name in ("matmul", "flux-conv", "matmul", "deepseek-r1-moe")]
start, failed = threading.Barrier(len(programs), timeout=60), []

def generate(program):
    start.wait()
    try:
        TvmSpace.generated(program.module, resolve_target(None, 2), SpaceKind.METASCHEDULE, vector_math=False)
    except Exception as error:
        failed.append(str(error).splitlines()[-1])

threads = [threading.Thread(target=generate, args=(program,)) for program in programs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
left = [name for name in ("tvm.s_tir.tensor_intrin", "tvm.s_tir.tensor_intrin.cuda") if name in sys.modules]
print(failed, left)
"""


def test_every_thread_waits_until_the_intrinsics_are_registered() -> None:
    """And the last one takes the stand-in away, so that the full package can be had."""
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "[] []\n"), done.stderr
