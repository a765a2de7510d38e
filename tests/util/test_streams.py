"""Streams that lack characters, and prints of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colt.util.streams import ascii_json, keeping_remarks, remarks_since, remarks_so_far, stdout_to_stderr
from tests.helpers.command import AS_INSTALLED
from tests.helpers.simulated_command import COLT
from tests.helpers.simulated_runs import tune_simulated

pytestmark = pytest.mark.real  # terminals are those of processes of their own

ASCII = {"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def command(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = COLT if "--trials" in arguments else AS_INSTALLED
    return subprocess.run([*command, *arguments], cwd=cwd, env=os.environ | env, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a program with a name that ASCII does not have."""
    from tests.conftest import OWN_PROGRAM

    folder = tmp_path_factory.mktemp("streams")
    (folder / "größe.py").write_text(OWN_PROGRAM)
    tune_simulated(f"{folder}/größe.py:layer", run_dir=folder / "run")
    return folder / "run"


@pytest.mark.parametrize("env", [ASCII, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])
@pytest.mark.parametrize("arguments", [("show", "run"), ("workloads",), ("--help",), ("tune", "größe.py:nichts")])
def test_what_a_terminal_cannot_show_is_replaced(run: Path, arguments: tuple[str, ...], env: dict[str, str]) -> None:
    done = command(*arguments, cwd=run.parent, **env)
    assert done.returncode == (2 if arguments[0] == "tune" else 0)
    assert b"Traceback" not in done.stderr
    (done.stdout + done.stderr).decode(env.get("PYTHONIOENCODING") or "ascii")


def test_json_keeps_every_character_in_ascii(run: Path) -> None:
    done = command("show", "--json", "run", cwd=run.parent, **ASCII)
    assert json.loads(done.stdout.decode("ascii")) == json.loads((run / "receipt.json").read_text("utf-8"))
    assert json.loads(ascii_json('"ö·\U0001f600"')) == "ö·\U0001f600"


PRINTS = """
import atexit, ctypes, os, subprocess
print("loaded")
atexit.register(print, "at exit")
from own import layer as inner

def layer():
    print("called")
    os.write(1, b"from a descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["echo", "from a child"])
    return inner()
"""


def test_what_a_users_file_prints_is_not_our_output(tmp_path: Path) -> None:
    from tests.conftest import OWN_PROGRAM

    (tmp_path / "own.py").write_text(OWN_PROGRAM)
    (tmp_path / "prints.py").write_text(PRINTS)
    done = command("tune", "prints.py:layer", "--trials", "4", "--pool", "scout", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for said in (b"loaded", b"called", b"at exit", b"from a descriptor", b"from C", b"from a child"):
        assert said in done.stderr


def test_diverted_by_several_threads_standard_output_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    def divert(number: int) -> None:
        with stdout_to_stderr():
            os.write(1, b"aside\n")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(divert, range(200)))
    os.write(1, b"ours\n")
    out, err = capfd.readouterr()
    assert (out, err.count("aside")) == ("ours\n", 200)


WARNING = b"[12:34:56] /project/src/a.cc:7: Warning: it did not fit: the reason\nin several lines\n"
UNKNOWN = b"'+nonsense' is not a recognized feature for this target (ignoring feature)\n"


@pytest.mark.parametrize("remark", [WARNING, UNKNOWN])
def test_remarks_of_tvm_are_kept_and_everything_else_is_printed(
    remark: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    place = remarks_so_far()
    with keeping_remarks():
        os.write(2, b"from C\n")
        with keeping_remarks():
            os.write(2, remark)
        assert remarks_since(place) == b""
    assert remarks_since(place) == remark
    assert capfd.readouterr().err == "from C\n"
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_what_python_prints_is_not_held_back() -> None:
    code = "import sys, os; from colt.util.streams import keeping_remarks as k\n"
    code += "with k(): print('now', file=sys.stderr); os.abort()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "now\n"


def test_standard_error_may_be_closed() -> None:
    code = "import os; from colt.util.streams import keeping_remarks as k\nos.close(2)\nwith k(): print('fine')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "fine\n"


def test_remarks_of_many_threads_lose_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    place = remarks_so_far()

    def remark(number: int) -> None:
        for _ in range(20):
            with keeping_remarks():
                os.write(2, WARNING)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(remark, range(8)))
    assert remarks_since(place) == WARNING * 160
    assert capfd.readouterr().err == ""


MIXED = """
from tvm import te

def product():
    a, b = te.placeholder((64, 64), "uint8", name="A"), te.placeholder((64, 64), "int8", name="B")
    k = te.reduce_axis((0, 64), name="k")
    term = lambda i, j: te.sum(a[i, k].astype("int32") * b[k, j].astype("int32"), axis=k)
    return te.create_prim_func([a, b, te.compute((64, 64), term, name="C")])
"""


def test_warnings_of_tvm_go_to_the_run_directory(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text(MIXED)
    target = '{"kind": "llvm", "mcpu": "cascadelake"}'
    done = command(
        "tune", "mixed.py:product", "--trials", "8", "--json", "--run", "run", "--target", target, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Warning: Tensorize failed" in (tmp_path / "run" / "tvm.log").read_bytes()
