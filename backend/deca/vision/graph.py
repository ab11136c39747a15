"""Runs a network that `tools/convert_vision.py` stored: weights and a list of operations in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from deca.errors import AssetError

FORMAT = "deca-vision-graph"


class TensorGraph(nn.Module):
    """A feed-forward network read from a file, for inference.

    Pictures run as (B, C, H, W) in channels-last memory, which is the order that the stored networks were made for.

    Args:
        path: The safetensors file.

    Attributes:
        size: Side of the square input picture, pixels.

    Raises:
        AssetError: The file is missing, damaged or of another format.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            with safe_open(str(path), "pt") as file:
                graph = json.loads((file.metadata() or {}).get("graph", "{}"))
                weights = {name: file.get_tensor(name).float() for name in file.keys()}
        except (OSError, ValueError, SafetensorError) as error:
            raise AssetError(f"The network file {path} cannot be read: {error}.", "Reinstall the add-on.") from error
        if graph.get("format") != FORMAT:
            raise AssetError(f"{path} is not a vision network file.", "Reinstall the add-on.")
        self.size: int = graph["size"]
        self._input: int = graph["input"]
        self._outputs: dict[str, int] = graph["outputs"]
        self._nodes: list[dict[str, Any]] = graph["nodes"]
        for node in self._nodes:  # a module's buffers must not have dots in their names
            node.update({role: node[role].replace(".", "_") for role in _WEIGHT_ROLES if role in node})
        self._last_uses = _last_uses(self._nodes, set(self._outputs.values()))
        for name, values in weights.items():
            if values.ndim == 4:
                values = values.contiguous(memory_format=torch.channels_last)
            self.register_buffer(name.replace(".", "_"), values)

    def forward(self, image_B3HW: Tensor) -> dict[str, Tensor]:
        """Runs the network.

        Args:
            image_B3HW: float32 pictures, `size` x `size`, in the value range of the network. A network of convolutions
                only takes any other size that its strides divide.

        Returns:
            The network's outputs by their original names.
        """
        values = {self._input: image_B3HW.contiguous(memory_format=torch.channels_last)}
        for node, done in zip(self._nodes, self._last_uses, strict=True):
            weights = {role: self._buffers[node[role]] for role in _WEIGHT_ROLES if role in node}
            if node["op"] == "relu" and node["in"][0] in done:
                result = values[node["in"][0]].relu_()
            else:
                result = _OPERATIONS[node["op"]](node, weights, *[values[i] for i in node["in"]])
            values[node["out"]] = _ACTIVATIONS[node.get("activation")](result)
            for index in done:  # memory used again at once is still in the cache: half the time on large pictures
                del values[index]
        return {name: values[index] for name, index in self._outputs.items()}

    def weights(self) -> Iterator[Tensor]:
        """The layers' weights, in the order they run."""
        return (self._buffers[node[role]] for node in self._nodes for role in _WEIGHT_ROLES if role in node)  # type: ignore[misc]

    def attribute(self, op: str, name: str) -> list[Any]:
        """One attribute of all operations of a kind, in the order they run."""
        return [node[name] for node in self._nodes if node["op"] == op]


def _last_uses(nodes: list[dict[str, Any]], outputs: set[int]) -> list[list[int]]:
    """For each operation the values that none after it reads."""
    last = {index: position for position, node in enumerate(nodes) for index in node["in"]}
    return [[i for i in sorted(set(node["in"])) if last[i] == n and i not in outputs] for n, node in enumerate(nodes)]


_WEIGHT_ROLES = ("weight", "bias", "slope", "value")
_ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {None: lambda x: x, "relu": F.relu, "relu6": F.relu6}


def _conv(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    left, right, top, bottom = node["pad"]
    padding = (top, left)
    if (left, top) != (right, bottom):  # TensorFlow pads an odd amount at the end, torch only symmetrically
        x, padding = F.pad(x, node["pad"]), (0, 0)
    return F.conv2d(x, w["weight"], w.get("bias"), node["stride"], padding, groups=node["groups"])


def _max_pool(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    return F.max_pool2d(x, node["size"], node["stride"])


def _resize(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    return F.interpolate(x, size=node["size"], mode="bilinear", align_corners=False)


def _pad_channels(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    b, c, height, width = x.shape  # F.pad copies twice in channels-last memory
    shape, memory = (b, c + node["count"], height, width), torch.channels_last
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory)
    result[:, :c], result[:, c:] = x, 0
    return result


def _depth_to_space(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    # TensorFlow splits the channel as (row, column, channel), torch's pixel_shuffle as (channel, row, column).
    b, c, height, width = x.shape
    n = node["block"]
    x = x.reshape(b, n, n, c // (n * n), height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // (n * n), height * n, width * n)


def _reshape(node: dict[str, Any], w: dict[str, Any], x: Tensor) -> Tensor:
    if x.ndim == 4:
        x = x.permute(0, 2, 3, 1)  # the stored shapes are channels-last
    return x.reshape(x.shape[0], -1, *node["shape"][1:])  # as many rows as the picture has cells


def _landmarks_to_matrix(node: dict[str, Any], w: dict[str, Any], points_BL3: Tensor) -> Tensor:
    """The (B, 4, 4) matrix from a region's own grid (`size` cells a side) to the grid the points are given in.

    The region is the box around the subset of points, upright with respect to the line from the left to the right
    point, enlarged by `scale`.
    """
    left, right = points_BL3[:, node["left"], :2], points_BL3[:, node["right"], :2]
    angle_B = torch.atan2(right[:, 1] - left[:, 1], right[:, 0] - left[:, 0])
    cos, sin = torch.cos(angle_B), torch.sin(angle_B)
    rotation_B22 = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    turned_BL2 = points_BL3[:, node["subset"], :2] @ rotation_B22  # by -angle
    low_B2, high_B2 = turned_BL2.amin(1), turned_BL2.amax(1)
    centre_B2 = (rotation_B22 @ ((low_B2 + high_B2) / 2)[..., None])[..., 0]
    axes_B22 = rotation_B22 * ((high_B2 - low_B2) * (node["scale"] / node["size"]))[:, None, :]
    matrix_B44 = torch.zeros(len(points_BL3), 4, 4, dtype=points_BL3.dtype, device=points_BL3.device)
    matrix_B44[:, :2, :2] = axes_B22
    matrix_B44[:, :2, 3] = centre_B2 - axes_B22.sum(-1) * (node["size"] / 2)
    matrix_B44[:, 2, 2] = matrix_B44[:, 3, 3] = 1
    return matrix_B44


def _transform_bilinear(node: dict[str, Any], w: dict[str, Any], x: Tensor, matrix_B44: Tensor) -> Tensor:
    """Samples a (B, C, size, size) region of `x`; cell centres are at +0.5, outside counts as 0."""
    size = node["size"]
    cell = torch.arange(size, device=x.device, dtype=x.dtype) + 0.5
    column, row = cell.repeat(size), cell.repeat_interleave(size)
    grid_BN2 = torch.stack([column, row], -1) @ matrix_B44[:, :2, :2].mT + matrix_B44[:, None, :2, 3]
    extent = torch.tensor([x.shape[3], x.shape[2]], device=x.device, dtype=x.dtype)
    grid = (grid_BN2 * 2 / extent - 1).reshape(-1, size, size, 2)
    return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False).contiguous(
        memory_format=torch.channels_last
    )


def _transform_landmarks(node: dict[str, Any], w: dict[str, Any], points_BL2: Tensor, matrix_B44: Tensor) -> Tensor:
    return points_BL2 @ matrix_B44[:, :2, :2].mT + matrix_B44[:, None, :2, 3]


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "max_pool": _max_pool,
    "resize": _resize,
    "pad_channels": _pad_channels,
    "depth_to_space": _depth_to_space,
    "reshape": _reshape,
    "concat": lambda node, w, *xs: torch.cat(xs, 1),
    "identity": lambda node, w, x: x,
    "add": lambda node, w, x, y: x + y,
    "mul": lambda node, w, x: x * w["value"],
    "scale": lambda node, w, x, y: x * y,
    "mean": lambda node, w, x: x.mean((2, 3), keepdim=True),
    "double": lambda node, w, x: F.conv_transpose2d(x, w["weight"], w["bias"], stride=2),
    "relu": lambda node, w, x: F.relu(x),
    "hard_swish": lambda node, w, x: F.hardswish(x),
    "logistic": lambda node, w, x: torch.sigmoid(x),
    "prelu": lambda node, w, x: F.prelu(x, w["slope"]),
    "landmarks_to_matrix": _landmarks_to_matrix,
    "transform_bilinear": _transform_bilinear,
    "transform_landmarks": _transform_landmarks,
}
