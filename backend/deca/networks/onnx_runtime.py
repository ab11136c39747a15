"""A network on the CPU by ONNX Runtime (the extra `deca-blender[onnx]`), where it is a third faster than torch."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca.errors import OutputError
from deca.files import write_file

log = logging.getLogger(__name__)

_VERSION = 1  # of the exported graphs: raise it when a network's forward changes
_OPSET = 17
_KEPT = 9  # cached graphs, of three networks each


def is_installed() -> bool:
    """Whether what the extra `onnx` installs is there: ONNX Runtime, the exporter's package, and platformdirs."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "platformdirs"))


def cache_dir() -> Path:
    """Where exported graphs are kept: `$DECA_CACHE`, or the platform's folder for what can be made again."""
    import platformdirs  # of the extra `onnx`, as all that is kept here

    return Path(os.environ.get("DECA_CACHE") or platformdirs.user_cache_dir("deca", appauthor=False, opinion=False))


class OnnxNetwork:
    """Runs a network by ONNX Runtime; called as the network is.

    The exported graph is cached in a file named by the network's weights, as an export takes longer than 20 pictures.

    Args:
        network: In evaluation mode; not needed afterwards.
        example: Arguments of a call, batch first; the batch may change later, other sizes not.
    """

    def __init__(self, network: nn.Module, example: tuple[Tensor, ...]) -> None:
        path = cache_dir() / f"{_fingerprint(network)}.onnx"
        session = _open(path) if path.is_file() else None
        if session is None:
            graph = _export(network, example)
            session = _session(str(path) if _keep(path, graph) else graph)
        self._session = session
        self._names = [node.name for node in session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(self._names, inputs, strict=True)}
        return torch.from_numpy(self._session.run(None, feed)[0])


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256(f"{_VERSION} {_OPSET} {network}".encode())
    for key, tensor in network.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:32]


def _export(network: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    names = [f"input_{index}" for index in range(len(example))]
    graph = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch announces its newer exporter, which needs one more package
        torch.onnx.export(
            network,
            example,
            graph,  # type: ignore[arg-type]
            input_names=names,
            output_names=["output"],
            dynamic_axes={name: {0: "batch"} for name in (*names, "output")},
            opset_version=_OPSET,
            dynamo=False,
        )
    return graph.getvalue()


def _session(graph: bytes | str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.enable_cpu_mem_arena = False  # saves more memory than time
    options.log_severity_level = 3  # errors only
    # Idle threads sleep: Blender needs the processor more than the next picture does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _open(path: Path) -> Any | None:
    """A cached graph, or None when its file turns out to be damaged."""
    try:
        session = _session(str(path))
        os.utime(path)  # the least recently used go first
        return session
    except Exception as error:  # ONNX Runtime has an exception class per kind of damage, and no common base
        log.warning("The cached network %s cannot be used (%s); it is made again.", path, error)
        return None


def _keep(path: Path, graph: bytes) -> bool:
    """Stores a graph in the cache; False when that is not possible."""
    try:
        write_file(path, graph)
        for old in sorted(path.parent.glob("*.onnx"), key=os.path.getmtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except (OutputError, OSError) as error:  # a cache that cannot be written costs time, not results
        log.warning("The exported network is not kept: %s", error)
    return path.is_file()
