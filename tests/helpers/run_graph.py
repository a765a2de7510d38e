"""Graphs of models, compiled as they are."""

from __future__ import annotations

from colt.models.judge import verified
from colt.models.manifest import ComparedPart
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.graph import Graph
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.tasks import tasks_of

THREADS = 2


def untuned(graph: Graph) -> ModelLibrary:
    """The library of a model, of which no program is tuned."""
    target = resolve_target(None, THREADS)
    module = fused(graph.module, target, CHANNELS_LAST)
    assembled = assemble(module, tasks_of(module), {}, target)
    return ModelLibrary(write_library(assembled.executable), assembled.weights, THREADS, assembled.outputs)


def compared(graph: Graph) -> ComparedPart:
    """The untuned model's outputs against those of whoever the model came from."""
    assert graph.reference is not None
    found = [one.numpy() for one in untuned(graph)(*graph.example)]
    return verified(found, graph.reference(graph.example), graph.against, graph.narrow)
