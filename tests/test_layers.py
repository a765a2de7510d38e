"""Imports go one way. Every module of the package stands in these tests; ``TYPE_CHECKING`` and local imports count."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import colt

SOURCE = Path(colt.__file__).parent
LAYERS = (
    *(
        "errors",
        "util",
        "moves",
        "knobs",
        "events",
        "options",
        "machine",
        "analysis",
        "measure",
        "fleet",
        "search",
        "testing",
        "store",
        "records",
    ),
    *("proposers", "strategies", "world", "tvm", "views", "plan", "run", "models", "bench", "api", "colt", "cli"),
)
"""Top-level modules and packages, lowest first; each imports only what stands before it. ``colt`` is the API itself."""
LOOSE = {"__init__", "api", "errors", "events", "knobs", "options", "plan"}
"""Modules at the top level: what users import."""
SOCKETS = {
    "colt.tvm.workers.rpc": {"socket"},  # boards
    "colt.proposers.language.wire": {"httpx2", "openai"},  # language models
    "colt.views.dashboard.serve": {"socket"},  # only listens
    "colt.fleet.cluster": {"ray", "socket"},  # fleets
    "colt.fleet.leaving": {"ray"},
}
"""Modules that may connect, and with what."""
NETWORK = ("socket", "http", "urllib.request", "requests", "httpx", "httpx2", "openai", "ray")


def _name(path: Path) -> str:
    return ".".join(("colt", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


@cache
def trees() -> dict[str, ast.Module]:
    """Every module by its name."""
    return {_name(path): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


def _imported(module: str) -> Iterator[str]:
    """What a module imports: of COLT the modules, of others ``module.name``."""
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where things come from"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in trees() or not str(node.module).startswith("colt") else str(node.module)


def _packages(name: str) -> Iterator[str]:
    """The packages around a module, whose ``__init__`` runs first."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts)))


def _needed(module: str) -> set[str]:
    """The modules of COLT that run when a module is imported, besides the packages around itself."""
    named = {name for name in _imported(module) if name in trees()}
    around = {package for name in named for package in _packages(name)} - set(_packages(module))
    return (named | around) - {module}


@cache
def graph() -> dict[str, set[str]]:
    """What each of them needs."""
    return {module: _needed(module) for module in trees()}


def _layer(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def test_every_package_imports_only_lower_ones() -> None:
    upward = [
        f"{module} imports {name}"
        for module, names in graph().items()
        for name in names
        if _layer(name) != _layer(module) and LAYERS.index(_layer(name)) > LAYERS.index(_layer(module))
    ]
    assert not upward


def test_no_modules_import_each_other() -> None:
    left = dict(graph())
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"import circles among {sorted(left)}"


def test_only_what_users_import_lies_loose() -> None:
    assert {path.stem for path in SOURCE.glob("*.py")} == LOOSE


def test_only_colt_tvm_imports_tvm_and_nothing_else_connects() -> None:
    strays = []
    for module in trees():
        names = set(_imported(module))
        if _layer(module) != "tvm":
            strays += [f"{module}: {name}" for name in names if name.split(".")[0] in ("tvm", "tvm_ffi")]
        allowed = SOCKETS.get(module, set())
        opening = [one for one in NETWORK if one not in allowed]
        strays += [f"{module}: {name}" for name in names for one in opening if f"{name}.".startswith(f"{one}.")]
    assert not strays


def test_nothing_is_evaluated_or_executed() -> None:
    called = {
        (module, node.func.id)
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    }
    assert not called


def test_processes_of_our_own_are_started_in_one_place() -> None:
    """There they get TVM without PyTorch. The one that tries an exported library, with code of its own, sees to it."""
    naming = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"
    }
    assert naming == {"colt.tvm.own", "colt.tvm.programs.export"}


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert not {name: modules for name, modules in places.items() if len(modules) > 1}


@pytest.mark.parametrize("module", ["colt", "colt.cli"])
def test_importing_it_loads_neither_tvm_nor_numpy(module: str) -> None:
    code = f"import {module}, sys; print([n for n in ('tvm', 'numpy', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
