"""Node trees by script."""

from __future__ import annotations

from typing import Any


class Nodes:
    """Adds nodes and links to a tree."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def add(self, kind: str, x: float, y: float, **settings: object) -> Any:
        """A node of a type at a place."""
        node = self.tree.nodes.new(kind)
        node.location = (x, y)
        for name, value in settings.items():
            setattr(node, name, value)
        return node

    def link(self, output: Any, input: Any) -> None:
        """Joins two sockets."""
        self.tree.links.new(output, input)

    def math(self, operation: str, x: float, y: float, *values: Any) -> Any:
        """The result of an operation on sockets and numbers."""
        node = self.add("ShaderNodeMath", x, y, operation=operation)
        for socket, value in zip(node.inputs, values, strict=False):
            self._set(socket, value)
        return node.outputs[0]

    def vector(self, operation: str, x: float, y: float, *values: Any) -> Any:
        """The node of an operation on vectors, which are sockets."""
        node = self.add("ShaderNodeVectorMath", x, y, operation=operation)
        for socket, value in zip(node.inputs, values, strict=False):
            self.link(value, socket)
        return node

    def mix(self, x: float, y: float, factor: Any, first: Any, second: Any, data_type: str = "VECTOR") -> Any:
        """The first value where the factor is 0, the second where it is 1."""
        node = self.add("ShaderNodeMix", x, y, data_type=data_type)
        for name, value in (("Factor", factor), ("A", first), ("B", second)):
            self._set(input_of(node, name), value)
        return output_of(node, "Result")

    def _set(self, socket: Any, value: Any) -> None:
        if isinstance(value, int | float):
            socket.default_value = value
        else:
            self.link(value, socket)


def input_of(node: Any, name: str) -> Any:
    """The input of a name that is in use: nodes have one for every type of data."""
    return next(socket for socket in node.inputs if socket.name == name and socket.enabled)


def output_of(node: Any, name: str) -> Any:
    """The output of a name that is in use."""
    return next(socket for socket in node.outputs if socket.name == name and socket.enabled)
