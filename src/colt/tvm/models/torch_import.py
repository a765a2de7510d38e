"""TVM's importer of exported programs, which says here what it stumbles over, and keeps the types of results.

The stock one names neither operator nor place when a conversion fails, and lets products of 16-bit types be of 32 bits
ever after, which the operators that follow refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
import tvm
from tvm import relax
from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

from colt.errors import InputError
from colt.tvm.models.torch_constants import Constants
from colt.tvm.models.torch_operators import corrected
from colt.tvm.models.torch_reductions import reductions
from colt.util.text import named_line

_WIDENED: dict[str, tuple[int, ...]] = {
    "linear.default": (2,),
    "addmm.default": (0,),
    "convolution.default": (2,),
    "native_layer_norm.default": (0, 2, 3),
    "native_group_norm.default": (0, 1, 2),
    "pow.Tensor_Scalar": (0,),
    "pow.Tensor_Tensor": (0, 1),
}
"""Arguments that have to be of 32 bits: what is added to a product that TVM computes in 32, and what it takes in no
other."""
_OF_RESULT = ("cumsum.default", "cumprod.default", "prod.default", "prod.dim_int", "logsumexp.default", "cat.default")
"""Operators beside those on elements whose operands have to be of the type of the result: whole numbers add up to
int64."""
_CHOOSING = (
    *("where.self", "where.Scalar", "where.ScalarSelf", "where.ScalarOther"),
    *("masked_fill.Scalar", "masked_fill.Tensor"),
)
"""Operators on elements one of whose operands chooses among others."""
_HALVES = ("float16", "bfloat16")
_WIDE = "float32"

_OF_FAST_PATH = ("aten._transformer_encoder_layer_fwd", "aten._native_multi_head_attention")
_FAST_PATH = "; torch.backends.mha.set_fastpath_enabled(False) has PyTorch take it apart"
_LINE = re.compile(r'File "([^"]+)", line (\d+)')

Conversion = Callable[..., Any]


def imported(program: Any) -> tvm.IRModule:
    """A program that was exported and decomposed, as Relax. Raises :class:`InputError`, which names operator and
    place."""
    importer = _Importer()
    importer.constants = Constants(program)
    _require_known(program, importer)
    return importer.from_exported_program(program, False, True, False, None)


def place_of(node: Any) -> str:
    """Where a node of an exported program comes from: the module in the model, and the line of its code."""
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    name = modules[-1][0].removeprefix("original").removeprefix(".") if modules else ""
    found = [f"module {name}"] if name else []
    found += [f"{file}:{line}" for file, line in _LINE.findall(node.meta.get("stack_trace") or "")[-1:]]
    return f"in {', '.join(found)}" if found else f"at {node.name}"


def _require_known(program: Any, importer: Any) -> None:
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            if node.op == "call_function" and node.target.__name__ not in importer.convert_map:
                hint = _FAST_PATH if str(node.target).startswith(_OF_FAST_PATH) else ""
                raise InputError(f"operator {node.target} is not supported, {place_of(node)}{hint}")


class _Importer(ExportedProgramImporter):  # type: ignore[misc]
    def create_convert_map(self) -> dict[str, Conversion]:
        stock = super().create_convert_map()
        ours = corrected(self, stock) | reductions(self, stock)
        return {name: self._told(name, convert) for name, convert in (stock | ours).items()}

    def _told(self, name: str, convert: Conversion) -> Conversion:
        """The conversion, whose result has the type that PyTorch gives it, and whose errors say where."""

        def converted(node: Any, *others: Any) -> Any:
            try:
                return self._typed(node, self._with_operands(name, node, lambda: convert(node, *others)))
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - assertions, keys, types: the importer raises what it likes
                said = f"operator {node.target} cannot be imported, {place_of(node)}"
                raise InputError(f"{said}: {named_line(error)}") from None

        return converted

    def _typed(self, node: Any, found: Any) -> Any:
        wanted = getattr(node.meta.get("val"), "dtype", None)
        if wanted is None or not isinstance(found, relax.Expr) or not isinstance(found.ty, relax.TensorType):
            return found
        dtype = str(wanted).removeprefix("torch.")
        if dtype not in _HALVES or str(found.ty.dtype) != _WIDE:
            return found
        return self.block_builder.emit(relax.op.astype(found, dtype))

    def _with_operands(self, name: str, node: Any, convert: Callable[[], Any]) -> Any:
        """Convert with operands of the types that the conversion needs."""
        arguments = [node.args[number] for number in _WIDENED.get(name, ()) if number < len(node.args)]
        found = {one: self.env[one] for one in arguments if one in self.env}
        wanted = self._promoted(name, node)
        wanted |= {one: _WIDE for one, before in found.items() if str(before.ty.dtype) in _HALVES}
        before = {one: self.env[one] for one in wanted}
        for one, dtype in wanted.items():
            self.env[one] = self.block_builder.emit(relax.op.astype(before[one], dtype))
        try:
            return convert()
        finally:
            self.env.update(before)

    def _promoted(self, name: str, node: Any) -> dict[Any, str]:
        """Operands that PyTorch converts first, and the types: to that of the result, or to floats if they are whole
        numbers and are compared with one. TVM converts the other one, a number, to whole numbers."""
        result = getattr(node.meta.get("val"), "dtype", None)
        if result is None or not (name in _OF_RESULT or torch.Tag.pointwise in getattr(node.target, "tags", ())):
            return {}
        if result is not torch.bool:
            wanted = result
        elif any(isinstance(one, float) for one in node.args):
            wanted = torch.get_default_dtype()
        else:
            return {}
        return {
            one: str(wanted).removeprefix("torch.")
            for one in node.all_input_nodes
            if _is_promoted(one, wanted, name in _CHOOSING) and isinstance(self.env[one].ty, relax.TensorType)
        }


def _is_promoted(operand: Any, wanted: Any, choosing: bool) -> bool:
    """Whether an operand is of another type than the one wanted; those that choose stay as they are."""
    dtype = getattr(operand.meta.get("val"), "dtype", None)
    return dtype not in (None, wanted) and not (choosing and dtype is torch.bool)
