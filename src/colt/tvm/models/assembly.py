"""Tuned functions back into their model: weights packed as they want them, and one library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.target import Target
from tvm.tirx import PrimFunc

from colt.tvm.devices.host import cpu_intrinsics
from colt.tvm.models.fused import with_main
from colt.tvm.models.tasks import ModelTask
from colt.tvm.programs.constants import CONSTANTS, PACK, Split, split
from colt.util.streams import keeping_remarks

WEIGHTS = "weights"
"""The last parameter of an assembled model's ``main``: a tuple."""
_SCHEDULED = "tirx.is_scheduled"
_EMBEDDED = 4096
"""Constants up to so many bytes stay in the library."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A model as a library, and the arrays that its last argument is made of."""

    executable: Any
    weights: tuple[Any, ...]
    """Tensors of TVM."""
    names: Mapping[str, str]
    """What the functions of tuned programs are called in the library, by the task's key."""


@keeping_remarks()
def assemble(
    model: tvm.IRModule, tasks: Sequence[ModelTask], tuned: Mapping[str, tvm.IRModule], target: Target
) -> Assembled:
    """The model with tuned programs in place of its functions. ``tuned`` has them by the task's key.

    What a schedule makes of weights alone is computed now.
    """
    places = {task.key: TunedFunction.of(task, tuned[task.key]) for task in tasks if task.key in tuned}
    placing = _Placing(model, tasks, places, target)
    weights = _Lifting(placing.model())
    lifted = weights.model()
    with cpu_intrinsics(target), target, tvm.transform.PassContext(opt_level=3):
        executable = tvm.compile(lifted, target, relax_pipeline=relax.get_pipeline("default_build"))
    return Assembled(executable, tuple(weights.tensors), placing.names)


def weight_bytes(model: tvm.IRModule) -> int:
    """What all weights of a model take."""
    return sum(map(_bytes, _constants(model["main"])))


@dataclass(frozen=True, slots=True)
class TunedFunction:
    """A tuned program where it goes into a model."""

    function: PrimFunc
    parts: Split | None
    """Its two parts, if something of it depends on weights alone; ``function`` is the second then."""

    @classmethod
    def of(cls, task: ModelTask, module: tvm.IRModule) -> TunedFunction:
        """From a tuned program, whose parameters are those of the task's."""
        parts = split(module)
        function = module["main"] if parts is None else _outputs_last(parts, task.inputs)
        return cls(function.without_attr(CONSTANTS).with_attr(_SCHEDULED, True), parts)


def _outputs_last(parts: Split, inputs: int) -> PrimFunc:
    """The second part, with what it has from the first before what it writes: as calls have it in Relax."""
    params, count = list(parts.packed.params), len(parts.rest)
    taken = sum(number < inputs for number in parts.rest)
    ordered = [*params[:taken], *params[count:], *params[taken:count]]
    return PrimFunc(ordered, parts.packed.body, parts.packed.ret_type, parts.packed.attrs)


class _Packers:
    """The first parts of tuned programs, built together, and what they have made of weights."""

    def __init__(self, places: Mapping[str, TunedFunction], target: Target) -> None:
        self._names = {key: f"{PACK}_{n}" for n, key in enumerate(places) if places[key].parts is not None}
        self._places = places
        functions = {name: self._pack(key, name) for key, name in self._names.items()}
        self._library = tvm.tirx.build(tvm.IRModule(functions), target=target) if functions else None
        self._made: dict[tuple[Any, ...], list[Any]] = {}

    def _pack(self, key: str, name: str) -> PrimFunc:
        parts = self._places[key].parts
        assert parts is not None
        return parts.pack.with_attr("global_symbol", name)

    def made_of(self, key: str, arguments: Sequence[Any]) -> list[Any]:
        """The constants that the first part makes of a call's arguments: once of the same."""
        parts, library = self._places[key].parts, self._library
        assert parts is not None
        assert library is not None
        weights = [arguments[number] for number in parts.constants]
        of = (key, *weights)
        if of not in self._made:
            between = [tvm.runtime.empty(shape, dtype) for shape, dtype in parts.between]
            library[self._names[key]](*(weight.value for weight in weights), *between)
            self._made[of] = [relax.const(tensor) for tensor in between]
        return self._made[of]


@mutator
class _Placing(PyExprMutator):  # type: ignore[misc]
    """Calls tuned programs in place of the model's functions."""

    def __init__(
        self, model: tvm.IRModule, tasks: Sequence[ModelTask], places: Mapping[str, TunedFunction], target: Target
    ) -> None:
        super().__init__(model)
        self._model = model
        self._places = places
        self._tasks = {function: task for task in tasks if task.key in places for function in task.functions}
        self._packers = _Packers(places, target)
        self._added: dict[str, Any] = {}
        """The variable of each program that was placed, by its key."""

    @property
    def names(self) -> dict[str, str]:
        """What the functions of programs that were placed are called, by the programs' keys."""
        return {key: str(variable.name_hint) for key, variable in self._added.items()}

    def model(self) -> tvm.IRModule:
        """The model, without the functions that are not called any more."""
        main = self.visit_expr(self._model["main"])
        self.builder_.update_func(self._model.get_global_var("main"), main)
        return relax.transform.DeadCodeElimination(["main"])(self.builder_.get())

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        if getattr(call.op, "name", "") != "relax.call_tir":
            return call
        task = self._tasks.get(call.args[0].name_hint)
        if task is None:
            return call
        place = self._places[task.key]
        if task.key not in self._added:
            self._added[task.key] = self.builder_.add_func(place.function.without_attr("global_symbol"), task.name)
        arguments = list(call.args[1].fields)
        if place.parts is not None:
            taken = [arguments[number] for number in place.parts.rest if number < task.inputs]
            arguments = [*taken, *self._packers.made_of(task.key, arguments)]
        return relax.call_tir(self._added[task.key], arguments, call.ty_args[0])


@mutator
class _Lifting(PyExprMutator):  # type: ignore[misc]
    """Makes the weights arguments: fields of a tuple that is the last parameter."""

    def __init__(self, model: tvm.IRModule) -> None:
        super().__init__(model)
        self._model = model
        self._found = [one for one in _constants(model["main"]) if _bytes(one) > _EMBEDDED]
        self._numbers = {one: number for number, one in enumerate(self._found)}
        types = [one.ty for one in self._found]
        self._variable = relax.Var(WEIGHTS, relax.TupleType(types))

    @property
    def tensors(self) -> list[Any]:
        """The weights, in the order of the tuple's fields."""
        return [one.value for one in self._found]

    def model(self) -> tvm.IRModule:
        """The model whose ``main`` takes its weights."""
        main = self._model["main"]
        body = self.visit_expr(main.body)
        attributes = tvm.ir.make_node("ir.DictAttrs", **{**main.attrs, "num_input": len(main.params)})
        lifted = relax.Function([*main.params, self._variable], body, main.ret_ty, attrs=attributes)
        return with_main(self._model, lifted)

    def visit_generic_const_(self, op: Any) -> Any:
        number = self._numbers.get(op)
        return op if number is None else relax.TupleGetItem(self._variable, number)


def _constants(main: Any) -> list[Any]:
    found: dict[Any, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, GenericConst):
            found.setdefault(node)

    relax.analysis.post_order_visit(main, visit)
    return list(found)


def _bytes(constant: Any) -> int:
    return int(constant.value.numpy().nbytes)
