"""Weights of the three networks on disk: DECA's released file, and our safetensors with a card.

A weights file of ours is one safetensors file: the tensors `<network>.<key>` of `coarse_encoder`, `detail_encoder`,
`detail_decoder` and, where its card says so, `shape_encoder`, and metadata `format` = `deca-weights`, `version` and
`card` (JSON, the fields of `Card`). It may hold `conformance.<name>`: inputs and what the networks must answer
(`deca.networks.conformance`), and `age.direction`, how detail codes change with age; files without have no such
slider, DECA's own among them.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from deca.errors import AssetError, DecaError, DecaWarning
from deca.files import WholeFile, in_order, write_file
from deca.head import HeadModel
from deca.networks.backbones import BACKBONES
from deca.networks.codes import CodeSizes
from deca.networks.decoder import DetailDecoder
from deca.networks.encoders import DETAIL_BACKBONES, CoarseEncoder, DetailEncoder
from deca.networks.face_descriptor import FaceDescriptor, FaceFeatures
from deca.networks.shape_encoder import ShapeEncoder

_FORMAT, _VERSION = "deca-weights", "1"
# Our networks and their names in DECA's released file.
_OFFICIAL = {"coarse_encoder": "E_flame", "detail_encoder": "E_detail", "detail_decoder": "D_detail"}
_SHAPE = "shape_encoder"
_CONFORMANCE = "conformance"
_AGE = "age"
_DIRECTION = "direction"
_COUNT = ".num_batches_tracked"
_COPY = "Copy or download the file again from its source."
_ZIP, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # how torch.save files start


@dataclass(frozen=True)
class Card:
    """What a set of weights is, and which head model its codes belong to.

    Attributes:
        head: Name of the head model that the networks were trained on.
        head_hash: `HeadModel.hash` of it; "" where every conversion of that head model will do (FLAME).
        head_verts: How many vertices it has.
        sizes: Lengths of the codes.
        backbone: Backbone of both encoders.
        detail_backbone: E_d's, where it is another: of `DETAIL_BACKBONES`.
        coarse_reduction: Of `CoarseEncoder`.
        shape_encoder: Whether a `ShapeEncoder` gives the shape in E_c's place.
        data: What the networks were trained on.
        recipe: How they were trained.
        metrics: Measured quality by name.
        licence: Licence of the weights.
    """

    head: str
    head_hash: str
    head_verts: int
    sizes: CodeSizes = field(default_factory=CodeSizes)
    backbone: str = "resnet50"
    detail_backbone: str = ""
    coarse_reduction: int = 1
    shape_encoder: bool = False
    data: str = ""
    recipe: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""

    @classmethod
    def of(cls, head: HeadModel, **fields: Any) -> Card:
        """The card of networks for a head model; further fields by name."""
        return cls(head.name, head.hash, head.num_verts, **fields)


OFFICIAL_CARD = Card(
    head="FLAME 2020",
    head_hash="",
    head_verts=5023,
    data="VGGFace2, BUPT-Balancedface, VoxCeleb2",
    recipe="DECA (Feng et al. 2021), released weights",
    licence="DECA's model licence: non-commercial scientific research, not to be passed on",
)


@dataclass(frozen=True)
class Checkpoint:
    """The networks with their weights, in evaluation mode, their card, and their conformance vectors if any.

    `age_D` is what +20 years add to detail codes on average; None where nobody has measured it (`deca-train age`).
    """

    card: Card
    coarse_encoder: CoarseEncoder
    detail_encoder: DetailEncoder
    detail_decoder: DetailDecoder
    shape_encoder: ShapeEncoder | None = None
    conformance: Mapping[str, Tensor] = field(default_factory=dict)
    age_D: Tensor | None = None

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        networks: dict[str, nn.Module] = {name: getattr(self, name) for name in _OFFICIAL}
        return networks if self.shape_encoder is None else networks | {_SHAPE: self.shape_encoder}


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads DECA's `deca_model.tar` (any torch.save file of that content) or a weights file of ours.

    Nothing in the file is executed. Every key must be there and have the right shape and finite numbers; only batch
    norms' counts of batches, which nothing here reads, may be missing. Keys that the networks do not have, optimiser
    state and other entries of a trainer's file are skipped, in the zip format without being read.

    Raises:
        AssetError: The file is missing, damaged or foreign, or its weights do not fit.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise AssetError(
            f"The weights file {path} cannot be read ({error.strerror or error}).",
            "Check the path, or convert the weights again.",
        ) from error
    if start.startswith((_ZIP, _LEGACY)):
        return _load_official(path, mapped=start.startswith(_ZIP))
    if start[8:9] == b"{":  # after the header's length
        return _load_safetensors(path)
    what = "is empty" if not start else "starts like a web page or a text" if _is_text(start) else "is of another kind"
    raise AssetError(
        f"{path} is no weights file: it {what}.",
        f"DECA's deca_model.tar and weights made by `deca convert-weights` can be read. {_COPY}",
    )


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes a weights file of ours, in one piece; the same networks and card give the same bytes.

    Args:
        checkpoint: The networks.
        path: The file.
        dtype: Of the weights in the file; they are read as single precision whatever it is.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, network in checkpoint.networks().items()
        for key, tensor in network.state_dict().items()
    }
    tensors |= {f"{_CONFORMANCE}.{name}": tensor.contiguous() for name, tensor in checkpoint.conformance.items()}
    if checkpoint.age_D is not None:
        tensors[f"{_AGE}.{_DIRECTION}"] = checkpoint.age_D.float().contiguous()
    metadata = {"format": _FORMAT, "version": _VERSION, "card": json.dumps(asdict(checkpoint.card))}
    write_file(Path(path), in_order(save(tensors, metadata)))


def convert_weights(source: str | Path, out: str | Path) -> Card:
    """Reads DECA's released weights (or a weights file of ours) and writes a weights file of ours.

    Raises:
        AssetError: The source is missing, damaged or foreign, or its weights do not fit.
        OutputError: The result cannot be written.
    """
    checkpoint = load_checkpoint(source)
    save_checkpoint(checkpoint, out)
    return checkpoint.card


def check_head(card: Card, head: HeadModel) -> None:
    """Makes sure that codes of these weights mean something for this head model.

    Warns where official DECA weights, trained on FLAME 2020, meet FLAME 2023: the shapes nearly agree.

    Raises:
        AssetError: They belong to another head model.
    """
    hint = "Choose weights that were made for this head model, or the head model of these weights."
    wanted = f"The weights belong to the head model {card.head}"
    if card.head == head.name and card.head_hash not in ("", head.hash):
        raise AssetError(
            f"The weights were made for another version of {head.name} (hash {card.head_hash}) than this one"
            f" (hash {head.hash}).",
            "Choose the built-in weights, or train these again on this version of the head model.",
        )
    if card.head_hash and card.head_hash != head.hash:
        raise AssetError(f"{wanted} (hash {card.head_hash}), not to {head.name} (hash {head.hash}).", hint)
    if card.head_verts != head.num_verts:
        raise AssetError(f"{wanted} with {card.head_verts} vertices; {head.name} has {head.num_verts}.", hint)
    offered = head.shape_dirs_V3S.shape[2], head.expression_dirs_V3E.shape[2]
    if card.sizes.shape > offered[0] or card.sizes.expression > offered[1]:
        raise AssetError(
            f"The weights give {card.sizes.shape} shape and {card.sizes.expression} expression coefficients; "
            f"{head.name} has {offered[0]} and {offered[1]}.",
            hint,
        )
    if card.head == OFFICIAL_CARD.head and "2023" in head.name:
        warnings.warn(
            f"The weights were trained on {card.head} and run on {head.name}: heads will differ slightly from DECA's. "
            f"Convert {card.head}'s file for the same results.",
            DecaWarning,
            stacklevel=2,
        )


class _NoTar(WholeFile):
    """Without a number that torch could read by; it would look for a tar archive first, as its oldest files were."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation


def _load_official(path: Path, mapped: bool) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch speaks of its own storage classes when it reads the old format
            if mapped:
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            else:
                with _NoTar(path) as file:
                    content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch's restricted unpickler says of a name that it does not know: "GLOBAL posix.system was not an ..."
        names = re.findall(r"GLOBAL (\S+)", str(error))
        if names:
            raise AssetError(
                f"{path} holds more than weights: it asks for the Python object {names[0]}. Nothing of it was run.",
                "Do not trust this file. Download the weights again from their publisher.",
            ) from error
        raise AssetError(f"{path} is damaged, or no file of weights alone.", _COPY) from error
    except EOFError as error:
        raise _truncated(path) from error
    except MemoryError as error:
        raise AssetError(f"There is not enough memory to read {path}.", "Close other programs.") from error
    except Exception as error:  # damaged bytes make torch's reader fail in every possible way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "unexpected EOF" in reason or (mapped and not zipfile.is_zipfile(path)):  # a zip file's list is at its end
            raise _truncated(path) from error
        raise AssetError(f"{path} is damaged, or was not written by torch.save ({reason}).", _COPY) from error
    states: dict[str, Mapping[str, Any]] = {}
    for name, official in _OFFICIAL.items():
        state = content.get(official) if isinstance(content, Mapping) else None
        if not isinstance(state, Mapping):
            found = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
            raise AssetError(
                f"{path} has no entry {official}, which DECA's weights have; it holds: {found}.",
                "Point at DECA's deca_model.tar; FLAME and albedo files are converted by commands of their own.",
            )
        states[name] = state
    return _build(path, OFFICIAL_CARD, states, {name: f"{official}." for name, official in _OFFICIAL.items()})


def _truncated(path: Path) -> AssetError:
    size = path.stat().st_size
    return AssetError(f"{path} is damaged: it is truncated, its end is missing after {size} bytes.", _COPY)


def _load_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise AssetError(
                    f"{path} is a safetensors file, but not one of weights for DECA.",
                    "Make one with `deca convert-weights deca_model.tar --out weights.safetensors`.",
                )
            if metadata.get("version") != _VERSION:
                raise AssetError(
                    f"{path} has version {metadata.get('version')} of the weights format; this is version {_VERSION}.",
                    "Convert the weights again, or update deca.",
                )
            states: dict[str, dict[str, Any]] = {name: {} for name in (*_OFFICIAL, _SHAPE, _CONFORMANCE, _AGE)}
            for key in file.keys():
                name, _, rest = key.partition(".")
                if name not in states:
                    raise AssetError(f"{path} holds {key}, which belongs to none of {', '.join(states)}.", _COPY)
                states[name][rest] = file.get_tensor(key)
        _widen(states[_SHAPE])
    except (SafetensorError, OSError) as error:
        raise AssetError(f"The weights file {path} is damaged ({error}).", _COPY) from error
    checkpoint = _build(path, _read_card(path, metadata), states, {name: f"{name}." for name in states})
    age_D = states[_AGE].get(_DIRECTION)
    if age_D is not None and (tuple(age_D.shape) != (checkpoint.card.sizes.detail,) or not age_D.isfinite().all()):
        raise AssetError(f"{path}: {_AGE}.{_DIRECTION} is no change of the detail code.", _COPY)
    return replace(checkpoint, conformance=states[_CONFORMANCE], age_D=None if age_D is None else age_D.float().clone())


def _widen(shape_encoder: dict[str, Any]) -> None:
    """Gives a shape encoder of before it read the descriptor inputs for it, of weight zero."""
    weight_SX, maps = shape_encoder.get("layer.weight"), FaceFeatures.map_width
    if weight_SX is not None and weight_SX.shape[1:] == (ShapeEncoder.width - FaceDescriptor.width,):
        unread_SD = weight_SX.new_zeros(len(weight_SX), FaceDescriptor.width)
        shape_encoder["layer.weight"] = torch.cat((weight_SX[:, :maps], unread_SD, weight_SX[:, maps:]), 1)


def _read_card(path: Path, metadata: Mapping[str, str]) -> Card:
    try:
        fields = json.loads(metadata["card"])
        if fields["backbone"] not in BACKBONES:
            raise ValueError(f"unknown backbone {fields['backbone']!r}")
        if fields.get("detail_backbone", "") not in ("", *DETAIL_BACKBONES):
            raise ValueError(f"unknown backbone {fields['detail_backbone']!r}")
        if fields.get("coarse_reduction", 1) not in (1, 2, 4):
            raise ValueError(f"a reduction of {fields['coarse_reduction']!r}")
        return Card(**fields | {"sizes": CodeSizes(**fields["sizes"])})
    except (KeyError, TypeError, ValueError, DecaError) as error:
        raise AssetError(f"The card of the weights file {path} is damaged ({error}).", _COPY) from error


def _build(path: Path, card: Card, states: Mapping[str, Mapping[str, Any]], prefixes: Mapping[str, str]) -> Checkpoint:
    with torch.device("meta"):  # shapes without memory: the file's tensors take their places
        networks = build_networks(card)
    for name, network in networks.items():
        state = fitting_state(path, network, states[name], prefixes[name])
        network.load_state_dict(state, strict=True, assign=True)
    return Checkpoint(card, **{name: network.eval() for name, network in networks.items()})  # type: ignore[arg-type]


def build_networks(card: Card) -> dict[str, nn.Module]:
    """The networks of a card by name, with fresh weights.

    Raises:
        OptionError: There is no such backbone.
    """
    networks: dict[str, nn.Module] = {
        "coarse_encoder": CoarseEncoder(card.backbone, card.sizes, card.coarse_reduction),
        "detail_encoder": DetailEncoder(card.detail_backbone or card.backbone, card.sizes),
        "detail_decoder": DetailDecoder(card.sizes),
    }
    return networks | ({_SHAPE: ShapeEncoder(card.sizes.shape)} if card.shape_encoder else {})


def fitting_state(path: Path, network: nn.Module, state: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """A network's state, copied out of a file, once it is known to fit.

    Raises:
        AssetError: It does not; the first key that does not fit is named.
    """
    hint = "These weights are for another network, or the file is incomplete. " + _COPY
    expected = network.state_dict()
    for key, place in expected.items():
        shape, value = tuple(place.shape), state.get(key)
        if key not in state and key.endswith(_COUNT):
            continue
        if key not in state:
            raise AssetError(f"{path} lacks {prefix}{key}, expected with shape {shape}.", hint)
        if not isinstance(value, Tensor):
            raise AssetError(f"{path}: {prefix}{key} is a {type(value).__name__}, expected numbers {shape}.", hint)
        if tuple(value.shape) != shape or value.is_floating_point() != place.is_floating_point():
            found = f"{tuple(value.shape)} {value.dtype}"
            raise AssetError(f"{path}: {prefix}{key} is {found}, expected {shape} {place.dtype}.", hint)
        # A sum is not finite where a number is not, and takes a quarter of the time; huge numbers get the full look.
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            raise AssetError(
                f"{path}: {prefix}{key} holds numbers that are infinite or not a number.",
                "The training that made it diverged, or the file is damaged. Use another checkpoint.",
            )
    # Copied, so that no tensor keeps the file mapped, and with it alive.
    return {
        key: state[key].to(place.dtype, copy=True) if key in state else torch.zeros(place.shape, dtype=place.dtype)
        for key, place in expected.items()
    }


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)
