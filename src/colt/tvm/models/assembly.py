"""Tuned functions back into their model: weights packed as they want them, and one library.

Each tuned program is an object file of its own, which the library is linked with: a model that is put together several
times, with other schedules of some programs, has each of them built once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import tvm
import tvm_ffi
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.target import Target
from tvm.tirx import IntImm, PrimFunc

from colt.tvm.devices.host import cpu_intrinsics
from colt.tvm.models.blame import built
from colt.tvm.models.fused import with_main
from colt.tvm.models.library import Output, Sample
from colt.tvm.models.outputs import with_own_outputs
from colt.tvm.models.straight import straight
from colt.tvm.models.tasks import ModelTask
from colt.tvm.programs.constants import CONSTANTS, PACK, WHOLE, Split, split
from colt.util.output import require_room_to_build, temporary_folder
from colt.util.streams import keeping_remarks

WEIGHTS = "weights"
"""The last parameter of an assembled model's ``main``: a tuple."""
_TUNED = "tuned"
"""What the names of tuned functions end in, which are none of the model's own then."""
_EMBEDDED = 4096
"""Constants up to so many bytes stay in the library, unless they are told by their addresses."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A model as a library, and the arrays that its last argument is made of."""

    executable: Any
    weights: tuple[Any, ...]
    """Tensors of TVM."""
    names: Mapping[str, str]
    """What the functions of tuned programs are called in the library, by the task's key."""
    outputs: tuple[Output, ...]
    objects: tuple[bytes, ...] = ()
    """The code of these functions: object files to link the library with."""


class Assembler:
    """Puts tuned programs into a model, as often as there are others to choose: each is built once, and what it makes
    of weights is computed once."""

    def __init__(self, model: tvm.IRModule, tasks: Sequence[ModelTask], target: Target) -> None:
        self._model = model
        self._tasks = tasks
        self._target = target
        self._built: dict[tuple[str, int], TunedFunction] = {}

    @keeping_remarks()
    def assemble(self, tuned: Mapping[str, tvm.IRModule]) -> Assembled:
        """The model with tuned programs in place of its functions. ``tuned`` has them by the task's key.

        What a schedule makes of weights alone is computed now. Raises :class:`InputError` for what TVM cannot compile.
        """
        places = {task.key: self._place(task, tuned[task.key]) for task in self._tasks if task.key in tuned}
        placed = with_own_outputs(_Placing(self._model, self._tasks, places).model())
        names = {key: place.name for key, place in places.items()}
        lifted, weights = _lifted(placed, names.values())
        with _compiling(self._target):
            executable = built(lifted, self._compiled)
        outputs = _types(lifted["main"].ret_ty)
        return Assembled(executable, weights, names, outputs, tuple(place.code for place in places.values()))

    def _compiled(self, model: tvm.IRModule) -> Any:
        return tvm.compile(model, self._target, relax_pipeline=relax.get_pipeline("default_build"))

    def _place(self, task: ModelTask, module: tvm.IRModule) -> TunedFunction:
        of = task.key, int(tvm_ffi.structural_hash(module))
        if of not in self._built:
            self._built[of] = TunedFunction(task, module, self._target)
        return self._built[of]


def assemble(
    model: tvm.IRModule, tasks: Sequence[ModelTask], tuned: Mapping[str, tvm.IRModule], target: Target
) -> Assembled:
    """See :meth:`Assembler.assemble`."""
    return Assembler(model, tasks, target).assemble(tuned)


def weight_bytes(model: tvm.IRModule) -> int:
    """What all weights of a model take."""
    return sum(map(_bytes, _constants(model["main"])))


@contextmanager
def _compiling(target: Target) -> Iterator[None]:
    with cpu_intrinsics(target), target, tvm.transform.PassContext(opt_level=3):
        yield


class TunedFunction:
    """A tuned program where it goes into a model: built, with its parameters as those of the task's."""

    def __init__(self, task: ModelTask, module: tvm.IRModule, target: Target) -> None:
        self.name = f"{task.name}_{_TUNED}"
        self.code = b""
        self._inputs = task.inputs
        self._parts = split(module)
        """The program's two parts, if something of it depends on weights alone; what is called is the second then."""
        self._pack: Any = None
        self._made: dict[tuple[Any, ...], list[Any]] = {}
        function = module["main"] if self._parts is None else _outputs_last(self._parts, task.inputs)
        with _compiling(target):
            self.code = _object(function.without_attr(CONSTANTS), self.name, target)
            if self._parts is not None:
                packing = self._parts.pack.with_attr("global_symbol", PACK)
                self._pack = tvm.tirx.build(tvm.IRModule({PACK: packing}), target=target)[PACK]

    def arguments(self, given: Sequence[Any]) -> list[Any]:
        """What it is called with in place of a call's arguments: of weights what the first part makes of them."""
        if self._parts is None:
            return list(given)
        taken = [given[number] for number in self._parts.rest if number < self._inputs]
        return [*taken, *self._made_of(self._parts, given)]

    def _made_of(self, parts: Split, given: Sequence[Any]) -> list[Any]:
        """The constants that the first part makes of a call's arguments: once of the same."""
        weights = tuple(given[number] for number in parts.constants)
        if weights not in self._made:
            between = [tvm.runtime.empty(shape, dtype) for shape, dtype in parts.between]
            self._pack(*(weight.value for weight in weights), *between)
            self._made[weights] = [relax.const(tensor) for tensor in between]
        return self._made[weights]


def _outputs_last(parts: Split, inputs: int) -> PrimFunc:
    """The second part, with what it has from the first before what it writes: as calls have it in Relax."""
    params, count = list(parts.packed.params), len(parts.rest)
    taken = sum(number < inputs for number in parts.rest)
    ordered = [*params[:taken], *params[count:], *params[taken:count]]
    return PrimFunc(ordered, parts.packed.body, parts.packed.ret_type, parts.packed.attrs)


def _object(function: PrimFunc, name: str, target: Target) -> bytes:
    """The function's code as the content of an object file."""
    library = tvm.tirx.build(tvm.IRModule({name: function.with_attr("global_symbol", name)}), target=target)
    require_room_to_build()
    with temporary_folder("colt-object-") as folder:
        path = folder / "function.o"
        library.write_to_file(str(path))
        return path.read_bytes()


@keeping_remarks()
def recomputed(module: tvm.IRModule, sample: Sample, inputs: int, target: Target) -> tuple[list[Any], float]:
    """What a program leaves of the arguments of a call, the first of which are its inputs: arrays of NumPy; and the
    seconds that it took."""
    with _compiling(target):
        run = tvm.tirx.build(tvm.IRModule({WHOLE: module["main"].without_attr(CONSTANTS)}), target=target)[WHOLE]
    arguments = [*sample.before[:inputs], *(tvm.runtime.empty(one.shape, one.dtype) for one in sample.after[inputs:])]
    began = perf_counter()
    run(*arguments)
    return [one.numpy() for one in arguments[inputs:]], perf_counter() - began


@mutator
class _Placing(PyExprMutator):  # type: ignore[misc]
    """Calls tuned programs in place of the model's functions."""

    def __init__(self, model: tvm.IRModule, tasks: Sequence[ModelTask], places: Mapping[str, TunedFunction]) -> None:
        super().__init__(model)
        self._model = model
        self._places = {
            function: places[task.key] for task in tasks if task.key in places for function in task.functions
        }

    def model(self) -> tvm.IRModule:
        """The model, without the functions that are not called any more."""
        main = self.visit_expr(self._model["main"])
        self.builder_.update_func(self._model.get_global_var("main"), main)
        return relax.transform.DeadCodeElimination(["main"])(self.builder_.get())

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        if getattr(call.op, "name", "") != "relax.call_tir":
            return call
        place = self._places.get(call.args[0].name_hint)
        if place is None:
            return call
        written = call.ty_args[0]
        types = list(written.fields) if isinstance(written, relax.TupleType) else written
        return relax.call_dps_packed(place.name, place.arguments(call.args[1].fields), types)


def _lifted(model: tvm.IRModule, kernels: Collection[str]) -> tuple[tvm.IRModule, tuple[Any, ...]]:
    """The model whose ``main`` takes its weights, and these; and as one function, if it can be."""
    every = _Lifting(model, embedded=-1)
    lifted = every.model()
    if functions := straight(lifted, kernels):
        lifted.update(tvm.IRModule(functions))
        return lifted, tuple(every.tensors)
    large = _Lifting(model, embedded=_EMBEDDED)
    return large.model(), tuple(large.tensors)


def _types(result: Any) -> tuple[Output, ...]:
    """Those of outputs; none where their sizes are open."""
    types = list(result.fields) if isinstance(result, relax.TupleType) else [result]
    shapes = [getattr(one, "shape", None) for one in types]
    if any(shape is None or not all(isinstance(size, IntImm) for size in shape) for shape in shapes):
        return ()
    return tuple((tuple(map(int, one.shape)), str(one.dtype)) for one in types)


@mutator
class _Lifting(PyExprMutator):  # type: ignore[misc]
    """Makes weights of more than ``embedded`` bytes arguments: fields of a tuple that is the last parameter."""

    def __init__(self, model: tvm.IRModule, embedded: int) -> None:
        super().__init__(model)
        self._model = model
        self._found = [one for one in _constants(model["main"]) if _bytes(one) > embedded]
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
