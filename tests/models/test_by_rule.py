"""What no sketch schedules gets a plain schedule, if that is right; what has threads already is not made worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import tvm
from rich.console import Console
from tvm import relax
from tvm.tirx import BufferStore

from colt.measure.simulated import SimulatedMeasurer
from colt.models import by_rule
from colt.models.by_rule import AS_IMPORTED, RULE, Contest, with_plain_schedules
from colt.models.compile import _built, compile_model
from colt.models.compiled import CompiledModel
from colt.models.options import CompileOptions
from colt.models.report import model_table
from colt.models.tuning import TunedTasks
from colt.run.finish import Runner
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import Assembler
from colt.tvm.models.fused import fused
from colt.tvm.models.graph import Graph
from colt.tvm.models.tasks import ModelTask, tasks_of
from colt.tvm.models.untuned import on_one_thread, plainly_scheduled
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import load_program
from colt.tvm.programs.walks import mapped
from tests.helpers.simulated_runs import measured_by
from tests.helpers.small_models import Mlp

pytestmark = pytest.mark.real  # builds libraries
THREADS = 2
TARGET = resolve_target(None, THREADS)
MLP = Mlp(rows=64, width=64, inner=96)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((256, 256)).astype("float32")
REASON = "the data type is not accepted"


def graph_of(operators: Callable[[Any], Any], expected: Callable[[Any], Any]) -> Graph:
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType(X.shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(builder.emit(operators(x)))
        builder.emit_func_output(output)
    return Graph("m", builder.get(), ("x",), (X,), lambda inputs: [expected(inputs[0])], "NumPy")


def begun(graph: Graph) -> tuple[list[ModelTask], Callable[[Mapping[str, Any]], Any]]:
    """The tasks of a graph, and what builds it with a module for each."""
    module = fused(graph.module, TARGET)
    tasks = tasks_of(module)
    return tasks, partial(_built, Assembler(module, tasks, TARGET), THREADS)


def contenders(graph: Graph, tasks: list[ModelTask], build: Any, tuned: TunedTasks) -> Contest:
    return with_plain_schedules(tasks, tuned, build, graph.example, TARGET)


class Won(TunedTasks):
    """Tuning has found these and nothing else."""

    def __init__(self, winners: Mapping[str, Any]) -> None:
        super().__init__({}, {})
        object.__setattr__(self, "_winners", {key: [Runner(one, 10.0, "scout")] for key, one in winners.items()})

    @property
    def contenders(self) -> dict[str, list[Runner]]:
        return dict(self._winners)  # type: ignore[attr-defined]


def test_programs_that_are_not_tuned_are_on_all_threads_and_right() -> None:
    graph = MLP.graph()
    tasks, build = begun(graph)
    found = contenders(graph, tasks, build, TunedTasks({}, {task.key: REASON for task in tasks}))
    assert found.notes == ()
    assert [found.of_each[task.key][-1].proposed_by for task in tasks] == [RULE, RULE]
    modules = {key: runners[-1].module for key, runners in found.of_each.items()}
    assert not any(on_one_thread(module["main"]) for module in modules.values())
    (output,) = build(modules).library(MLP.x)
    np.testing.assert_allclose(output.numpy(), MLP.compute(MLP.x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("slow", "expected"), [(1e9, [AS_IMPORTED, RULE]), (-1.0, [RULE])])
def test_what_takes_long_as_it_is_is_not_timed_in_the_model(
    slow: float, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is if there is not much to lose, or the plain schedule is not faster by far."""
    seconds = by_rule._seconds
    monkeypatch.setattr(by_rule, "SLOW_SECONDS", slow)
    monkeypatch.setattr(by_rule, "_seconds", lambda *given: 0.0 * seconds(*given))
    graph = MLP.graph()
    tasks, build = begun(graph)
    found = contenders(graph, tasks, build, TunedTasks({}, {tasks[0].key: REASON}))
    assert [one.proposed_by for one in found.of_each[tasks[0].key]] == expected


def test_a_plain_schedule_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: tvm.IRModule) -> tvm.IRModule:
        """Everything is one larger."""
        scheduled = plainly_scheduled(module["main"])

        def larger(node: Any) -> Any:
            return BufferStore(node.buffer, node.value + 1.0, node.indices)

        return tvm.IRModule({"main": scheduled.with_body(mapped(scheduled.body, (BufferStore, larger)))})

    monkeypatch.setattr(by_rule, "with_plain_schedule", wrong)
    graph = MLP.graph()
    tasks, build = begun(graph)
    found = contenders(graph, tasks, build, TunedTasks({}, {tasks[0].key: REASON}))
    assert found.of_each == {}
    assert f"the plain schedule of {tasks[0].name} is not used: it computes something else" in found.notes[0]


def test_a_plain_schedule_that_tvm_cannot_compile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: Any) -> Any:
        raise ValueError("no such instruction")

    monkeypatch.setattr(by_rule, "recomputed", refused)
    graph = MLP.graph()
    tasks, build = begun(graph)
    found = contenders(graph, tasks, build, TunedTasks({}, {tasks[0].key: REASON}))
    assert found.of_each == {}
    assert "is not used: TVM cannot compile it: ValueError: no such instruction" in found.notes[0]


def test_a_winner_on_all_threads_has_no_other_beside_it() -> None:
    graph = MLP.graph()
    tasks, build = begun(graph)
    winners = {task.key: tvm.IRModule({"main": plainly_scheduled(task.module["main"])}) for task in tasks}
    found = contenders(graph, tasks, lambda modules: pytest.fail("nothing is to be built"), Won(winners))
    assert [[one.proposed_by for one in runners] for runners in found.of_each.values()] == [["scout"], ["scout"]]
    found = contenders(graph, tasks, build, Won({tasks[0].key: tasks[0].module}))
    assert [one.proposed_by for one in found.of_each[tasks[0].key]] == ["scout", RULE]


def test_programs_that_do_not_run_stay_as_they_are() -> None:
    graph = MLP.graph()
    tasks, _ = begun(graph)
    found = contenders(graph, tasks, lambda modules: pytest.fail("nothing is to be built"), TunedTasks({}, {}))
    assert found.of_each == {}


AT = RNG.permuted(np.tile(np.arange(256), (256, 1)), axis=1).T.astype("int64").copy()
UPDATES = RNG.standard_normal((256, 256)).astype("float32")


def scattered(x: Any) -> Any:
    found = x.copy()
    np.put_along_axis(found, AT, UPDATES, 0)
    return found


def scatter() -> Graph:
    return graph_of(
        lambda x: relax.op.scatter_elements(x, relax.const(AT), relax.const(UPDATES), 0),
        scattered,
    )


def test_what_tvm_has_threads_for_competes_as_it_was_imported() -> None:
    """They are not in the program that is tuned."""
    graph = scatter()
    tasks, build = begun(graph)
    (task,) = tasks
    assert not on_one_thread(task.module["main"])
    winner = load_program(task.module).module
    assert on_one_thread(winner["main"])
    found = contenders(graph, tasks, build, Won({task.key: winner}))
    assert [one.proposed_by for one in found.of_each[task.key]] == ["scout", AS_IMPORTED]


def compiled(graph: Graph, left: bool, monkeypatch: pytest.MonkeyPatch) -> CompiledModel:
    if left:
        monkeypatch.setattr(
            "colt.models.compile.tune_tasks",
            lambda name, tasks, *_: TunedTasks({}, {task.key: REASON for task in tasks}),
        )
    with measured_by(SimulatedMeasurer(fingerprint)):
        return compile_model(graph, None, CompileOptions(trials=4, threads=THREADS, use_records=False))


def told(model: CompiledModel) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(model_table(model.report))
    return shown.get()


def test_a_model_tells_which_programs_have_a_plain_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_rule, "SLOW_SECONDS", -1.0)
    seconds = by_rule._seconds
    monkeypatch.setattr(by_rule, "_seconds", lambda *given: 0.0 * seconds(*given))
    model = compiled(MLP.graph(), True, monkeypatch)
    assert [(task.by, task.why_not, task.on_one_thread) for task in model.report.tasks] == [(RULE, REASON, 0)] * 2
    assert all(task.us == task.model_us is not None for task in model.report.tasks)
    assert f"a plain schedule: {REASON}" in told(model)
    assert model.report.compared is not None
    assert model.report.compared.ok


SORTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "sort": (lambda x: relax.op.sort(x, 1), lambda x: np.sort(x, 1), "sort"),
    "top": (lambda x: relax.op.topk(x, 5, 1, "values"), lambda x: -np.sort(-x, 1)[:, :5], "topk"),
    "sums": (lambda x: relax.op.cumsum(x, 1), lambda x: np.cumsum(x, 1), "cumsum"),
    "products": (lambda x: relax.op.cumprod(x, 0), lambda x: np.cumprod(x, 0), "cumprod"),
}


@pytest.mark.parametrize("name", SORTS)
def test_sorting_and_running_sums_are_programs_of_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM makes functions of them after all other operators."""
    operators, expected, called = SORTS[name]
    model = compiled(graph_of(operators, expected), False, monkeypatch)
    (task,) = model.report.tasks
    assert task.name == called
    assert task.trials
    assert model.report.compared is not None
    assert model.report.compared.ok


def test_what_one_thread_runs_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(graph_of(relax.op.cumsum, np.cumsum), True, monkeypatch)
    assert [task.on_one_thread for task in model.report.tasks] == [1]
    assert "note: one thread alone runs 1 nest of loops: in cumsum" in told(model)
