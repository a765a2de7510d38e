"""What in an exported program is constant: it depends on no input of the user."""

from __future__ import annotations

from typing import Any

from torch.fx.node import map_arg


class Constants:
    """The constant nodes of a program, with their values, which are computed when they are asked for."""

    def __init__(self, program: Any) -> None:
        self._program = program
        self._found = set[Any]()
        self._values: dict[Any, Any] = {}
        for node in program.graph_module.graph.nodes:
            is_constant = self._kept(node) is not None if node.op == "placeholder" else node.op == "call_function"
            if is_constant and self._found.issuperset(node.all_input_nodes):
                self._found.add(node)

    def value(self, node: Any) -> Any:
        """The node's value; ``None`` if it depends on an input."""
        if node not in self._found:
            return None
        if node not in self._values:
            if node.op == "placeholder":
                self._values[node] = self._kept(node)
            else:
                args, kwargs = map_arg((node.args, node.kwargs), self.value)
                self._values[node] = node.target(*args, **kwargs)
        return self._values[node]

    def _kept(self, node: Any) -> Any:
        """What the program keeps of that name."""
        program, signature = self._program, self._program.graph_signature
        name = signature.inputs_to_buffers.get(node.name) or signature.inputs_to_parameters.get(node.name)
        if name is not None:
            return program.state_dict.get(name, program.constants.get(name))
        name = signature.inputs_to_lifted_tensor_constants.get(node.name)
        return None if name is None else program.constants[name]
