"""Dependencies point one way (see each package's ``__init__``)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import colt

SOURCE = Path(colt.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

ALLOWED = {
    "errors": set(),
    "knobs": {"errors"},
    "config": {"errors"},
    "intervals": set(),
    "stopwatch": set(),
    "interrupt": set(),
    "lifeline": set(),
    "events": {"knobs"},
    "hardware": {"errors"},
    "analysis": {"knobs", "hardware", "errors"},
    "search": {"knobs", "config", "events", "errors"},
    "testing": {"search", "knobs", "config", "events", "errors"},
    "pool": {"search", "knobs", "config", "events", "errors"},
    "resting": set(),
    "asking": {"pool", "search", "resting", "stopwatch"},
    "calling": {"pool", "config", "errors"},
    "paying": {"search"},
    "runs": {"pool", "search", "knobs", "config", "events", "errors", "hardware"},
}
"""What each part of COLT may import of COLT; ``tvm`` and what drives everything may import all below them."""
DRIVERS = {
    *("cli", "bench", "forecast", "findings", "tuning", "replaying", "planning", "session", "consulting", "finish"),
    *("accounts", "leaders", "comparison", "ceiling", "recordable"),
}
ANYTHING_BUT = {"tvm": {*DRIVERS, "runs"}}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    mine = part(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("colt.")} - {mine, "__version__"}
    if mine in ALLOWED:
        assert used <= ALLOWED[mine]
    assert not used & ANYTHING_BUT.get(mine, set())


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) != "tvm"], ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_colt_tvm_imports_tvm(path: Path) -> None:
    assert not [name for name in imports(path) if name.split(".")[0] in ("tvm", "tvm_ffi")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_opens_sockets(path: Path) -> None:
    opening = {"socket", "http", "urllib.request", "requests", "httpx", "httpx2", "openai"}
    if path.relative_to(SOURCE) == Path("tvm/measure/rpc.py"):  # boards
        opening.remove("socket")
    if path.relative_to(SOURCE) == Path("pool/chat.py"):  # language models
        opening -= {"httpx2", "openai"}
    assert not [name for name in imports(path) if any(f"{name}.".startswith(f"{module}.") for module in opening)]


def test_importing_colt_loads_neither_tvm_nor_numpy() -> None:
    code = "import colt, colt.cli, sys; print([n for n in ('tvm', 'numpy', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_evaluated_or_executed(path: Path) -> None:
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    allowed = {"exec"} if path.name == "user_file.py" else set()  # the user's own file, run as their own code
    assert not called & ({"eval", "exec"} - allowed)
