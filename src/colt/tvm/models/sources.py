"""From what a user gives to the graph of a model: a module of PyTorch, a file, or a function in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.tvm.models import torch_graph
from colt.tvm.models.graph import Graph, OpenModel
from colt.tvm.models.quantised import with_integer_products
from colt.tvm.programs.user_file import called_from_file

ACCEPTED = (
    "a model is a .pt2 file (torch.export), an .onnx file, or FILE.py:NAME, a function that returns a torch.nn.Module "
    "and a tuple of example inputs"
)
_FUNCTION = re.compile(r"(?P<path>.*\.py):(?P<name>\w+)", re.DOTALL)


def load_graph(model: Any, example: Any = None, shapes: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """The graph of a model: a ``torch.nn.Module`` with example inputs, a ``torch.export.ExportedProgram``, or the path
    of a ``.pt2`` or ``.onnx`` file. ``shapes`` are of inputs by name, where an ``.onnx`` file leaves sizes open.

    Raises :class:`InputError` for what cannot be imported, and says why."""
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | Path):
        return with_integer_products(_from_file(Path(model), example, shapes or {}))
    _require_no_shapes(shapes)
    return with_integer_products(torch_graph.from_module(model, example))


def open_model(model: Any, example: Any, shapes: Mapping[str, Sequence[int]] | None, names: Sequence[str]) -> OpenModel:
    """A file that leaves sizes open, of which the user gives those called ``names``; otherwise as
    :func:`load_graph`."""
    path = Path(model) if isinstance(model, str | Path) else Path()
    if path.suffix == ".onnx" and path.is_file():
        _require_onnx()
        from colt.tvm.models import onnx_sizes

        return onnx_sizes.OpenFile(path, example, shapes or {}, names)
    _require_no_shapes(shapes)
    if path.suffix == ".pt2" and path.is_file():
        torch_graph.require_torch()
        from colt.tvm.models import torch_sizes

        return torch_sizes.OpenProgram(path, example, names)
    raise InputError("sizes are for files that leave some open: .onnx, and .pt2 that was exported with dynamic_shapes")


def _require_no_shapes(shapes: Mapping[str, Sequence[int]] | None) -> None:
    if shapes:
        raise InputError("shapes are for .onnx files, which leave sizes open; other models have those of their inputs")


def _from_file(path: Path, example: Any, shapes: Mapping[str, Sequence[int]]) -> Graph:
    if path.suffix == ".onnx" and path.is_file():
        return _from_onnx(path, example, shapes)
    _require_no_shapes(shapes)
    if function := _FUNCTION.fullmatch(str(path)):
        return _from_function(Path(function["path"]).expanduser(), function["name"], example)
    if not path.is_file():
        raise InputError(f"{path} is not there; {ACCEPTED}")
    if path.suffix == ".pt2":
        return torch_graph.from_file(path, example)
    raise InputError(f"{path} is no model; {ACCEPTED}")


def _from_onnx(path: Path, example: Any, shapes: Mapping[str, Sequence[int]]) -> Graph:
    _require_onnx()
    from colt.tvm.models import onnx_graph

    return onnx_graph.from_file(path, example, shapes)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise InputError("models of ONNX need onnx: pip install 'colt-tuner[onnx]'") from None


def _from_function(path: Path, name: str, example: Any) -> Graph:
    module, own = _called(path, name, example)
    return torch_graph.from_module(module, own)


def _called(path: Path, name: str, example: Any) -> tuple[Any, Any]:
    """What a function in a file returns: a module, and what it is called with."""
    found = called_from_file(path, name, "a function that returns a torch.nn.Module and a tuple of example inputs")
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], tuple | list | dict):
        module, own = found
        return module, own if example is None else example
    return found, example


def torch_module(model: str) -> tuple[Any, Any]:
    """The module of PyTorch that a model is, and what it is called with. Raises :class:`InputError` for others."""
    if function := _FUNCTION.fullmatch(model):
        return _called(Path(function["path"]).expanduser(), function["name"], None)
    if Path(model).suffix == ".pt2":
        return torch_graph.read_file(Path(model))
    raise InputError("PyTorch does not read files of ONNX")
