"""Builds `assets/vision/` from the networks in the MediaPipe 0.10.21 wheel (Apache-2.0), and the tests' reference.

    python tools/convert_vision.py                         # downloads the pinned wheel with pip
    python tools/convert_vision.py --wheel mediapipe.whl   # the same from a wheel that is already here
    python tools/convert_vision.py --reference             # writes tests/data/vision/mediapipe_reference.npz, run by an
                                                           # interpreter that has mediapipe==0.10.21 and scikit-image

Each TensorFlow Lite network becomes one safetensors file: its weights as they are stored in the source (float16), and
in the header's metadata the operations as the JSON list that `deca.vision.graph.TensorGraph` runs. Needs `tflite` and
`flatbuffers`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets" / "vision"
REFERENCE = ROOT / "tests" / "data" / "vision" / "mediapipe_reference.npz"

WHEEL = "mediapipe==0.10.21"
PLATFORM = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
SOURCES = {
    "face_detector_short": "mediapipe/modules/face_detection/face_detection_short_range.tflite",
    "face_detector_full": "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    "face_landmarks": "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
    "person": "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
}


def fetch_wheel(folder: Path) -> Path:
    """Downloads the pinned wheel with pip and returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *PLATFORM, WHEEL]
    subprocess.run(command, check=True)
    return next(folder.glob("mediapipe-*.whl"))


class TfliteReader:
    """One TensorFlow Lite graph, turned into constants and a list of plain operations.

    The file keeps tensors as (batch, row, column, channel); convolution weights leave here in torch's order. Dequantise
    and densify operations of constants are carried out, zero padding joins the convolution that follows it.
    """

    def __init__(self, data: bytes) -> None:
        import tflite  # pyright: ignore[reportMissingImports] (optional: build-assets)

        self.lib: Any = tflite
        self.model: Any = tflite.Model.GetRootAsModel(data, 0)
        self.graph: Any = self.model.Subgraphs(0)
        self.op_names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self.constants: dict[int, np.ndarray] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.nodes: list[dict[str, Any]] = []
        self.pads: dict[int, tuple[int, list[int]]] = {}
        for index in range(self.graph.OperatorsLength()):
            self._convert(self.graph.Operators(index))

    def description(self) -> dict[str, Any]:
        """The graph as JSON data: input size, nodes in order, outputs by name."""
        tensor = self.graph.Tensors(self.graph.Inputs(0))
        outputs = {self.graph.Tensors(i).Name().decode(): int(i) for i in self.graph.OutputsAsNumpy()}
        return {
            "input": int(self.graph.Inputs(0)),
            "size": int(tensor.Shape(1)),
            "outputs": outputs,
            "nodes": self.nodes,
        }

    def _shape(self, index: int) -> list[int]:
        tensor = self.graph.Tensors(index)
        return [int(n) for n in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def _constant(self, index: int) -> np.ndarray | None:
        if index in self.constants:
            return self.constants[index]
        tensor = self.graph.Tensors(index)
        buffer = self.model.Buffers(tensor.Buffer())
        if not buffer.DataLength():
            return None
        dtype = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.Type()]
        values = buffer.DataAsNumpy().view(dtype)
        return values if tensor.Sparsity() else values.reshape(self._shape(index))

    def _emit(
        self, op: str, inputs: list[int], output: int, /, weights: dict[str, np.ndarray] | None = None, **attrs: Any
    ) -> None:
        node: dict[str, Any] = {"op": op, "in": [int(i) for i in inputs], "out": int(output), **attrs}
        for role, values in (weights or {}).items():
            node[role] = f"{len(self.nodes):03d}.{role}"
            self.weights[node[role]] = np.ascontiguousarray(values)
        self.nodes.append(node)

    def _options(self, op: Any, kind: str) -> Any:
        options = getattr(self.lib, kind)()
        table = op.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _convert(self, op: Any) -> None:
        code = self.model.OperatorCodes(op.OpcodeIndex())
        name = self.op_names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [int(i) for i in op.InputsAsNumpy()]
        output = int(op.Outputs(0))
        if name == "CUSTOM":
            self._convert_custom(code.CustomCode().decode(), op, inputs, output)
            return
        convert = getattr(self, "_" + name.lower(), None)
        if convert is None:
            raise NotImplementedError(f"TensorFlow Lite operation {name}")
        convert(op, inputs, output)

    # --- constants

    def _dequantize(self, op: Any, inputs: list[int], output: int) -> None:
        values = self._constant(inputs[0])
        assert values is not None
        self.constants[output] = values

    def _densify(self, op: Any, inputs: list[int], output: int) -> None:
        """Undoes the sparse storage: a tree of dense and compressed dimensions, walked in the stored order."""
        tensor = self.graph.Tensors(inputs[0])
        sparsity, values, shape = tensor.Sparsity(), self._constant(inputs[0]), self._shape(inputs[0])
        assert values is not None and not sparsity.BlockMapLength(), "block sparsity does not occur in these networks"
        dense, order = np.zeros(shape, values.dtype), sparsity.TraversalOrderAsNumpy()
        position = 0

        def walk(depth: int, parent: int, where: list[int]) -> None:
            nonlocal position
            if depth == len(shape):
                dense[tuple(where)] = values[position]
                position += 1
                return
            meta = sparsity.DimMetadata(depth)
            if meta.Format() == self.lib.DimensionType.DENSE:
                size = meta.DenseSize()
                children = [(parent * size + i, i) for i in range(size)]
            else:
                segments, indices = self._indices(meta, "Segments"), self._indices(meta, "Indices")
                children = [(i, int(indices[i])) for i in range(segments[parent], segments[parent + 1])]
            for child, i in children:
                where[order[depth]] = i
                walk(depth + 1, child, where)

        walk(0, 0, [0] * len(shape))
        self.constants[output] = dense

    def _indices(self, meta: Any, which: str) -> np.ndarray:
        kind = getattr(meta, f"Array{which}Type")()
        vector = {1: self.lib.Int32Vector, 2: self.lib.Uint16Vector, 3: self.lib.Uint8Vector}[kind]()
        table = getattr(meta, f"Array{which}")()
        vector.Init(table.Bytes, table.Pos)
        return vector.ValuesAsNumpy()

    # --- convolutions and pooling

    def _window(self, source: int, kernel: tuple[int, ...], stride: int, padding: int) -> tuple[int, list[int]]:
        """The tensor that a window operation reads and its padding: left, right, top, bottom."""
        if source in self.pads:
            return self.pads[source]
        if padding == self.lib.Padding.VALID:
            return source, [0, 0, 0, 0]
        pads = []
        for size, k in zip(self._shape(source)[1:3], kernel, strict=True):
            total = max((-(-size // stride) - 1) * stride + k - size, 0)
            pads.append((total // 2, total - total // 2))
        return source, [*pads[1], *pads[0]]

    def _conv(self, inputs: list[int], output: int, options: Any, weight: np.ndarray, groups: int) -> None:
        assert options.StrideH() == options.StrideW() and options.DilationHFactor() == 1
        source, pad = self._window(inputs[0], weight.shape[2:], options.StrideH(), options.Padding())
        weights = {"weight": weight}
        bias = self._constant(inputs[2])
        if bias is not None:
            weights["bias"] = bias
        activation = {0: None, 1: "relu", 3: "relu6"}[options.FusedActivationFunction()]
        self._emit(
            "conv", [source], output, weights, stride=options.StrideH(), pad=pad, groups=groups, activation=activation
        )

    def _conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        weight = self._constant(inputs[1])
        assert weight is not None
        self._conv(inputs, output, self._options(op, "Conv2DOptions"), weight.transpose(0, 3, 1, 2), 1)

    def _depthwise_conv_2d(self, op: Any, inputs: list[int], output: int) -> None:
        options, weight = self._options(op, "DepthwiseConv2DOptions"), self._constant(inputs[1])
        assert weight is not None and options.DepthMultiplier() == 1
        self._conv(inputs, output, options, weight.transpose(3, 0, 1, 2), weight.shape[3])

    def _max_pool_2d(self, op: Any, inputs: list[int], output: int) -> None:
        options = self._options(op, "Pool2DOptions")
        size, stride = options.FilterHeight(), options.StrideH()
        source, pad = self._window(inputs[0], (size, size), stride, options.Padding())
        assert pad == [0, 0, 0, 0]
        self._emit("max_pool", [source], output, size=size, stride=stride)

    def _pad(self, op: Any, inputs: list[int], output: int) -> None:
        amount = self._constant(inputs[1])
        assert amount is not None
        (_, _), (top, bottom), (left, right), (_, channels) = amount.tolist()
        if channels:
            self._emit("pad_channels", inputs[:1], output, count=channels)
        else:
            self.pads[output] = inputs[0], [left, right, top, bottom]

    def _resize_bilinear(self, op: Any, inputs: list[int], output: int) -> None:
        options = self._options(op, "ResizeBilinearOptions")
        assert options.HalfPixelCenters() and not options.AlignCorners()
        self._emit("resize", inputs[:1], output, size=self._shape(output)[1:3])

    def _average_pool_2d(self, op: Any, inputs: list[int], output: int) -> None:
        options = self._options(op, "Pool2DOptions")
        assert [options.FilterHeight(), options.FilterWidth()] == self._shape(inputs[0])[1:3], "only means of all occur"
        self._emit("mean", inputs, output)

    def _depth_to_space(self, op: Any, inputs: list[int], output: int) -> None:
        self._emit("depth_to_space", inputs, output, block=self._options(op, "DepthToSpaceOptions").BlockSize())

    # --- elementwise and shape

    def _binary(self, name: str, kind: str, op: Any, inputs: list[int], output: int) -> None:
        activation = {0: None, 1: "relu", 3: "relu6"}[self._options(op, kind).FusedActivationFunction()]
        factor = self._constant(inputs[1])
        if factor is None and name == "mul":
            self._emit("scale", inputs, output, activation=activation)
        elif factor is None:
            self._emit(name, inputs, output, activation=activation)
        else:
            self._emit(name, inputs[:1], output, {"value": factor}, activation=activation)

    def _add(self, op: Any, inputs: list[int], output: int) -> None:
        self._binary("add", "AddOptions", op, inputs, output)

    def _mul(self, op: Any, inputs: list[int], output: int) -> None:
        self._binary("mul", "MulOptions", op, inputs, output)

    def _relu(self, op: Any, inputs: list[int], output: int) -> None:
        self._emit("relu", inputs, output)

    def _hard_swish(self, op: Any, inputs: list[int], output: int) -> None:
        self._emit("hard_swish", inputs, output)

    def _logistic(self, op: Any, inputs: list[int], output: int) -> None:
        self._emit("logistic", inputs, output)

    def _prelu(self, op: Any, inputs: list[int], output: int) -> None:
        slope = self._constant(inputs[1])
        assert slope is not None
        self._emit("prelu", inputs[:1], output, {"slope": slope.reshape(-1)})

    def _reshape(self, op: Any, inputs: list[int], output: int) -> None:
        self._emit("reshape", inputs[:1], output, shape=self._shape(output)[1:])

    def _concatenation(self, op: Any, inputs: list[int], output: int) -> None:
        axis = self._options(op, "ConcatenationOptions").Axis()
        assert axis == 1 and len(self._shape(output)) == 3
        self._emit("concat", inputs, output)

    def _strided_slice(self, op: Any, inputs: list[int], output: int) -> None:
        assert self._shape(inputs[0]) == self._shape(output), "only the slice that keeps everything occurs"
        self._emit("identity", inputs[:1], output)

    # --- MediaPipe's own operations

    def _convert_custom(self, name: str, op: Any, inputs: list[int], output: int) -> None:
        raw = op.CustomOptionsAsNumpy().tobytes() if op.CustomOptionsLength() else b""
        from flatbuffers import flexbuffers  # pyright: ignore[reportMissingImports] (optional: build-assets)

        attrs: Any = flexbuffers.Loads(raw) if raw else {}
        if name == "Landmarks2TransformMatrix":
            assert attrs["output_width"] == attrs["output_height"] and attrs["scale_x"] == attrs["scale_y"]
            self._emit(
                "landmarks_to_matrix",
                inputs,
                output,
                left=attrs["left_rotation_idx"],
                right=attrs["right_rotation_idx"],
                subset=list(attrs["subset_idxs"]),
                scale=attrs["scale_x"],
                size=attrs["output_width"],
            )
        elif name == "TransformTensorBilinear":
            self._emit("transform_bilinear", inputs, output, size=attrs["output_width"])
        elif name == "Convolution2DTransposeBias":
            weight, bias = self._constant(inputs[1]), self._constant(inputs[2])
            assert weight is not None and bias is not None and weight.shape[:3] == (1, 2, 2), "one output, doubled"
            self._emit("double", inputs[:1], output, {"weight": weight.transpose(3, 0, 1, 2), "bias": bias})
        elif name == "TransformLandmarks":
            self._emit("transform_landmarks", inputs, output)
        else:
            raise NotImplementedError(f"custom operation {name}")


def convert(wheel: Path) -> None:
    """Writes one safetensors file per network of SOURCES into assets/vision/."""
    from safetensors.numpy import save_file

    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SystemExit(f"{wheel} has sha256 {digest}, expected {WHEEL_SHA256}")
    ASSETS.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        licence = archive.read("mediapipe-0.10.21.dist-info/LICENSE").decode()
        (ASSETS / "LICENSE").write_text(licence, encoding="utf-8")
        for name, source in SOURCES.items():
            data = archive.read(source)
            reader = TfliteReader(data)
            # One metadata entry, because safetensors writes several in random order.
            header = {
                "format": "deca-vision-graph",
                "source": f"{WHEEL}: {source}",
                "source_sha256": hashlib.sha256(data).hexdigest(),
                "licence": "Apache-2.0, The MediaPipe Authors",
                **reader.description(),
            }
            path = ASSETS / f"{name}.safetensors"
            save_file(reader.weights, str(path), {"graph": json.dumps(header, separators=(",", ":"))})
            path.chmod(0o644)
            count = sum(w.size for w in reader.weights.values())
            print(f"{path.name}: {len(reader.nodes)} operations, {count} weights, {path.stat().st_size} bytes")


def reference_pictures() -> dict[str, np.ndarray]:
    """Variants of the public-domain portrait in scikit-image (NASA, astronaut Eileen Collins), (H, W, 3) uint8 each."""
    import cv2
    import skimage.data

    portrait = skimage.data.astronaut()

    def turned(degrees: float) -> np.ndarray:
        matrix = cv2.getRotationMatrix2D((225, 125), degrees, 1)
        return cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)

    return {
        "original": portrait,
        "double_size": cv2.resize(portrait, (1024, 1024), interpolation=cv2.INTER_CUBIC),
        "half_size": cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA),
        "turned_15": turned(15),
        "turned_-30": turned(-30),
        "padded": cv2.copyMakeBorder(portrait, 100, 200, 50, 250, cv2.BORDER_CONSTANT, value=(90, 110, 130)),
        "dark": (portrait * 0.3).astype(np.uint8),
        "mirrored": np.ascontiguousarray(portrait[:, ::-1]),
        "blurred": cv2.GaussianBlur(portrait, (0, 0), 2.0),
        "close": np.ascontiguousarray(portrait[10:240, 110:340]),
        "stretched": cv2.resize(portrait, (512, 640), interpolation=cv2.INTER_LINEAR),
    }


def write_reference() -> None:
    """Stores what MediaPipe itself says about the pictures.

    `single` is its answer to a single image; `settled` its third answer when it sees the same image as a video, where
    each frame's region comes from the landmarks before. (P, 478, 3) float32: x, y in pixels, z in the same scale.
    """
    import mediapipe  # pyright: ignore[reportMissingImports]

    names: list[str] = []
    single: list[Any] = []
    settled: list[Any] = []
    for name, picture in reference_pictures().items():
        height, width = picture.shape[:2]
        options = {"max_num_faces": 1, "refine_landmarks": True}
        with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, **options) as mesh:
            single.append(mesh.process(picture))
        with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, **options) as mesh:
            settled.append([mesh.process(picture) for _ in range(3)][-1])
        for answers in (single, settled):
            points = answers[-1].multi_face_landmarks[0].landmark
            answers[-1] = [[p.x * width, p.y * height, p.z * width] for p in points]
        names.append(name)
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        REFERENCE, names=names, single=np.array(single, np.float32), settled=np.array(settled, np.float32)
    )
    print(f"{REFERENCE.relative_to(ROOT)}: {len(names)} pictures, {REFERENCE.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the mediapipe 0.10.21 wheel, if it is already here")
    parser.add_argument("--reference", action="store_true", help="write the reference landmarks instead")
    args = parser.parse_args()
    if args.reference:
        write_reference()
        return
    with tempfile.TemporaryDirectory() as folder:
        convert(args.wheel or fetch_wheel(Path(folder)))


if __name__ == "__main__":
    main()
