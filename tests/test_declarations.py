"""An option is declared in one place, and found in all of them."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import colt
from colt.cli.options_table import document
from colt.options import TuneOptions
from colt.plan import plan
from colt.util.declared import options_of

SOURCE = Path(colt.__file__).parent
DOCS = Path(__file__).parent.parent / "docs"

DECLARATION = '    patience: int = option(7, "how long to wait for better schedules", low=1, high=9)\n'
POOL = '[[member]]\nname = "m"\nbase_url = "http://127.0.0.1:1/v1"\nsize_b = 7\nprices = { input = 1, output = 4 }\n'
LOOK = """
import contextlib, inspect, io, json, sys, tomllib, tomli_w
from colt.tvm.own import leave_torch_out
leave_torch_out()
import colt
from colt.cli import main
from colt.cli.options_table import document
from colt.plan import Plan, plan

def said(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        out.write(f"exit code {main(arguments)}")
    return " ".join(out.getvalue().split())

def refusal(act):
    try:
        act()
    except colt.InputError as error:
        return str(error)

made = plan("gemv", patience=5)
config = tomllib.loads(tomli_w.dumps(made.to_config("tree")))
bad = {**config, "run": {**config["run"], "patience": 0}}
print(json.dumps({
    "signature": str(inspect.signature(colt.tune).parameters["patience"]),
    "docstring": " ".join(colt.tune.__doc__.split()),
    "help": said("tune", "--help"),
    "refused": refusal(lambda: plan("gemv", patience=10)),
    "refused there": said("tune", "gemv", "--patience", "many"),
    "config": config["run"]["patience"],
    "replay": Plan.from_config(config, made.program.module).options.patience,
    "refused in a replay": refusal(lambda: Plan.from_config(bad, made.program.module)),
    "docs": document(),
    "dry run": said("tune", "gemv", "--patience", "5", "--pool", sys.argv[1], "--dry-run"),
}))
"""


def test_an_option_that_is_declared_once_is_found_everywhere(tmp_path: Path) -> None:
    """In a copy of COLT with one more declaration, in a process of its own."""
    pytest.importorskip("openai", reason="language models come with the extra models")
    shutil.copytree(SOURCE, tmp_path / "colt", ignore=shutil.ignore_patterns("__pycache__"))
    declared = tmp_path / "colt" / "options.py"
    before = declared.read_text()
    first = "    trials: int = option("
    assert before.count(first) == 1
    declared.write_text(before.replace(first, DECLARATION + first))
    (tmp_path / "pool.toml").write_text(POOL)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "pool.toml")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    takes = "an integer from 1 to 9"
    assert found["signature"] == "patience: 'int' = 7"
    assert f"patience How long to wait for better schedules. Takes {takes}. Default: 7." in found["docstring"]
    assert "--patience N how long to wait for better schedules (default: 7)" in found["help"]
    assert found["refused"] == f"patience is 10; it takes {takes}"
    assert found["refused there"] == f"colt: --patience is 'many'; it takes {takes} (see colt tune --help) exit code 2"
    assert (found["config"], found["replay"]) == (5, 5)
    assert found["refused in a replay"] == f"patience is 0; it takes {takes}"
    assert f"| `patience` | `--patience` | {takes} | `7` | how long to wait for better schedules |" in found["docs"]
    assert "calls for 64 trials" in found["dry run"]
    assert found["dry run"].endswith("exit code 0")


def test_the_page_of_options_is_that_of_the_declarations() -> None:
    assert (DOCS / "options.md").read_text() == document(), "python -m colt.cli.options_table > docs/options.md"


@pytest.mark.parametrize("function", [colt.tune, plan])
def test_every_option_is_in_the_signature(function: object) -> None:
    program, *keywords = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    assert program.name == "program"
    assert {one.name: one.default for one in keywords} == {
        name: one.default for name, one in options_of(TuneOptions).items()
    }
    assert {one.kind for one in keywords} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(("wrong", "right"), [("trails", "trials"), ("runs_dir", "run_dir"), ("max-usd", "max_usd")])
def test_a_misspelt_option_is_a_type_error_that_names_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=rf"tune\(\) has no option '{wrong}'; did you mean {right}\?"):
        colt.tune("matmul", **{wrong: 3})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="by name"):
        colt.tune("matmul", "small")  # type: ignore[misc]


@pytest.mark.real
def test_type_checkers_know_every_option(tmp_path: Path) -> None:
    """As editors do, which complete them."""
    api = pytest.importorskip("mypy.api", reason="mypy comes with the extra dev")
    (tmp_path / "user.py").write_text(
        "import colt\n"
        'reveal_type(colt.tune("matmul", trials=3, max_usd=0.5, pool=["scout"]).speedup)\n'
        'colt.tune("matmul", trails=3)\n'
        'colt.tune("matmul", trials="many")\n'
    )
    config = str(DOCS.parent / "pyproject.toml")
    out, _, _ = api.run(["--config-file", config, "--cache-dir", str(tmp_path), str(tmp_path / "user.py")])
    said = [line.partition("user.py:")[2] for line in out.splitlines() if "user.py" in line and 'note: "' not in line]
    assert said == [
        '2: note: Revealed type is "float"',
        '3: error: Unexpected keyword argument "trails" for "tune"; did you mean "trials"?  [call-arg]',
        '4: error: Argument "trials" to "tune" has incompatible type "str"; expected "int"  [arg-type]',
    ]
