"""The models of a reconstruction, and what they make of codes: mesh, landmarks, albedo, wrinkles, renderings (DECA,
Section 4).

Shape suffixes: B batch, S shape, E expression and A albedo coefficients, D detail code, V vertices, J joints, H W rows
and columns of UV maps and pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.assets import asset, assets_dir
from deca.devices import choose_device
from deca.errors import AssetError, DecaWarning, OptionError
from deca.head.bundled import bundle_of
from deca.head.layer import HeadLayer
from deca.head.model import HeadModel, load_head
from deca.networks import OFFICIAL_CARD, Networks, check_head
from deca.networks.relief import ReliefNetwork, load_relief
from deca.networks.skin_map import SkinMapNetwork, load_skin_map
from deca.networks.skin_tone import ASSET as SKIN_TONE
from deca.networks.skin_tone import SkinTone, load_skin_tone
from deca.reconstruct.face import Face
from deca.reconstruct.moving_relief import MovingRelief, Shares, with_reliefs
from deca.reconstruct.relief import Relief
from deca.render.camera import project
from deca.render.detail import DetailSurface, applied_displacement, detail_surface
from deca.render.normals import vertex_normals
from deca.render.renderer import Renderer
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD

T = TypeVar("T")

_JAW = 2


@dataclass(frozen=True)
class Decoded:
    """What codes of B faces stand for. Metres, head space; UV maps as large as F_d's, 256 x 256, top row first.

    Attributes:
        verts_BV3: Posed vertices of the coarse head.
        normals_BV3: Their unit normals.
        picture_BV3: Their places on the crop, picture coordinates (`deca.render.camera.project`).
        landmarks_BL3: The 68 landmarks; None where the head model has none.
        albedo_B3HW: Albedo, 0..1; None without an albedo model.
        light_B93: Light; None without albedo.
        displacement_B1HW: The displacement along the normals, inside the detail mask, with the head model's fixed one;
            None without a detail code.
        detail: The displaced surface; None without a detail code.
    """

    verts_BV3: Tensor
    normals_BV3: Tensor
    picture_BV3: Tensor
    landmarks_BL3: Tensor | None = None
    albedo_B3HW: Tensor | None = None
    light_B93: Tensor | None = None
    displacement_B1HW: Tensor | None = None
    detail: DetailSurface | None = None


@dataclass(frozen=True)
class Pictures:
    """Renderings of B decoded faces, (B, 3, H, W) in about 0..1, zero beside the head.

    Attributes:
        alpha_B1HW: 1 where the head is.
        coarse_shape: The coarse head in grey under fixed lamps.
        detail_shape: The same with wrinkles; None without a detail code.
        coarse: Albedo in the photo's light (DECA, Eq. 3); None without albedo.
        detail: The same with wrinkles (DECA, Eq. 11); None without albedo or detail code.
    """

    alpha_B1HW: Tensor
    coarse_shape: Tensor
    detail_shape: Tensor | None
    coarse: Tensor | None
    detail: Tensor | None


class Models:
    """A head model, and what is known of its faces: networks and albedo model. Decodes and renders codes.

    Args:
        head: The head model.
        networks: For wrinkles; without them heads stay coarse.
        albedo: Albedo model of this head; without it nothing is rendered in colour.
        device: torch device of all results.
        relief: Reads the relief of the skin from photos of this head; without it heads have F_d's wrinkles alone.
        skin_map: Tells what is skin on photos of this head; without it colours have to.
        skin_tone: Tells by a face how light its skin is; without it photos have to.

    Raises:
        AssetError: Networks, albedo model, relief or skin map network belong to another head model.
    """

    def __init__(
        self,
        head: HeadModel,
        networks: Networks | None = None,
        albedo: AlbedoModel | None = None,
        device: str | torch.device = "cpu",
        relief: ReliefNetwork | None = None,
        skin_map: SkinMapNetwork | None = None,
        skin_tone: SkinTone | None = None,
    ) -> None:
        if networks is not None:
            check_head(networks.card, head)
        if albedo is not None:
            albedo.check_head(head)
        if relief is not None:
            relief.check_head(head)
        if skin_map is not None:
            skin_map.check_head(head)
        self.head, self.networks, self.relief, self.skin_map = head, networks, relief, skin_map
        self.skin_tone = skin_tone
        self.albedo = None if albedo is None else albedo.to(device)
        self.device = torch.device(device)
        self.renderer = Renderer.of_head(head).to(device)
        self._layers: dict[tuple[int, int], HeadLayer] = {}

    def decode(
        self,
        shape_BS: Tensor,
        expression_BE: Tensor,
        pose_BJ3: Tensor,
        camera_B3: Tensor,
        *,
        albedo_BA: Tensor | None = None,
        light_B93: Tensor | None = None,
        detail_BD: Tensor | None = None,
        reliefs: Shares = (),
        likeness_BV3: Tensor | None = None,
    ) -> Decoded:
        """Decodes codes on `device`; nothing here carries gradients through F_d.

        Args:
            shape_BS: Shape coefficients; any leading part of the head model's.
            expression_BE: Expression coefficients; likewise. F_d sees as many as it was trained on.
            pose_BJ3: Axis-angle of root, neck, jaw, left eye, right eye, radians.
            camera_B3: `[s, tx, ty]` on the crop.
            albedo_BA: Albedo coefficients; with `light_B93` and an albedo model heads get colour.
            light_B93: Spherical harmonics coefficients.
            detail_BD: Detail codes; with networks heads get wrinkles.
            reliefs: What photos show of the skin, with shares; all faces wear the same.
            likeness_BV3: What the neutral heads have beyond their coefficients, metres.
        """
        layer = self._layer(shape_BS.shape[1], expression_BE.shape[1])
        verts_BV3 = layer(shape_BS, expression_BE, pose_BJ3, likeness_BV3)
        normals_BV3 = vertex_normals(verts_BV3, layer.faces_F3)
        landmarks = layer.landmarks_68(verts_BV3, pose_BJ3) if self.head.landmarks_68 is not None else None
        displacement, surface = None, None
        if detail_BD is not None and self.networks is not None:
            wrinkles = self._wrinkles(detail_BD, expression_BE, pose_BJ3[:, _JAW], reliefs)
            surface = detail_surface(
                verts_BV3, wrinkles, self.head, normals_BV3=normals_BV3, smooth=self.networks.card != OFFICIAL_CARD
            )
            displacement = applied_displacement(wrinkles, self.head)
        lit = self.albedo is not None and albedo_BA is not None and light_B93 is not None
        return Decoded(
            verts_BV3,
            normals_BV3,
            project(verts_BV3, camera_B3),
            landmarks,
            self.albedo(albedo_BA) if lit and self.albedo is not None else None,
            light_B93 if lit else None,
            displacement,
            surface,
        )

    def decode_face(self, face: Face) -> Decoded:
        """A reconstructed face, as a batch of one.

        Raises:
            OptionError: The face belongs to another head model.
        """
        if face.head.hash != self.head.hash:
            raise OptionError(
                f"{face.photo.name} was reconstructed with {face.head.name}, not with {self.head.name}.",
                "Decode it with its own head model.",
            )

        tensor = self._tensor
        codes = (tensor(code) for code in (face.shape_S, face.expression_E, face.pose_53, face.camera_3))
        with torch.inference_mode():
            return self.decode(
                *codes,  # pyright: ignore[reportArgumentType]
                albedo_BA=tensor(face.albedo_A),
                light_B93=tensor(face.light_93),
                detail_BD=tensor(face.detail_D),
                reliefs=face.reliefs,
                likeness_BV3=tensor(face.likeness_V3),
            )

    def wear(self, face: Face, relief: Relief) -> Face:
        """A face with detail code that wears the relief of its own photo."""
        codes = (self._tensor(code) for code in (face.detail_D, face.expression_E, face.pose_53[_JAW]))
        detail_11HW = self._wrinkles(*codes)  # pyright: ignore[reportArgumentType]
        return replace(face, reliefs=((MovingRelief.of(relief, detail_11HW, self.head), 1.0),))

    def skin_lightness(self, descriptor_D: NDArray[np.float32]) -> float | None:
        """L* of the skin of a face with this descriptor (`same_person.describe`); None where nothing tells it."""
        if self.skin_tone is None:
            return None
        with torch.inference_mode():
            return float(self.skin_tone(torch.from_numpy(descriptor_D)[None])[0])

    def render(
        self,
        decoded: Decoded,
        picture_BV3: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> Pictures:
        """Renders decoded faces.

        Args:
            decoded: What to render.
            picture_BV3: Where its vertices lie on the picture; on the crop when None. For a window of the photo:
                `deca.render.camera.window_picture`.
            height: Rows of the pictures, 224 when None.
            width: Columns, likewise.
        """
        where = decoded.picture_BV3 if picture_BV3 is None else picture_BV3
        surface = self.renderer(decoded.verts_BV3, where, height, width)
        skin, coarse, detail = decoded.detail, None, None
        wrinkled = () if skin is None else (skin.normals_B3HW, skin.mask_11HW)
        if decoded.albedo_B3HW is not None and decoded.light_B93 is not None:
            coarse = surface.shade(decoded.albedo_B3HW, decoded.light_B93).image_B3HW
            if wrinkled:
                detail = surface.shade(decoded.albedo_B3HW, decoded.light_B93, *wrinkled).image_B3HW
        detail_shape = _shown(surface.clay(*wrinkled)) if wrinkled else None
        return Pictures(surface.alpha_B1HW, _shown(surface.clay()), detail_shape, coarse, detail)

    def _tensor(self, array: NDArray | None) -> Tensor | None:
        """A code as a batch of one."""
        return None if array is None else torch.from_numpy(np.array(array, np.float32))[None].to(self.device)

    def _wrinkles(self, detail_BD: Tensor, expression_BE: Tensor, jaw_B3: Tensor, reliefs: Shares = ()) -> Tensor:
        """The detail before the mask: F_d's maps, and the reliefs."""
        if self.networks is None:
            raise AssetError("There are no weights that know wrinkles.", "Name a weights file.")
        sizes = self.networks.sizes
        if expression_BE.shape[1] < sizes.expression or detail_BD.shape[1] != sizes.detail:
            raise AssetError(
                f"The weights take {sizes.expression} expression coefficients and a detail code of {sizes.detail}; "
                f"there are {expression_BE.shape[1]} and {detail_BD.shape[1]}.",
                "Reconstruct the photo again with these weights.",
            )
        wanted = sizes.expression
        detail_B1HW = self.networks.displacement(detail_BD, expression_BE[:, :wanted], jaw_B3).to(self.device)
        return with_reliefs(detail_B1HW, reliefs, self.head)

    def displacement(
        self, detail_BD: Tensor, expression_BE: Tensor, jaw_B3: Tensor, reliefs: Shares = (), age: float = 0.0
    ) -> Tensor:
        """What F_d makes of the codes, and the reliefs that the heads wear (B, 1, 256, 256):
        `Decoded.displacement_B1HW`, without the rest.

        Args:
            detail_BD, expression_BE, jaw_B3, reliefs: As in `decode`.
            age: Of `Networks.aged`. Reliefs follow: they move with the strength of F_d's map, and what they compare it
                with was made of the code as the photo gives it.

        Raises:
            AssetError: There are no networks, or they take more expression coefficients.
            OptionError: The weights do not know how wrinkles change with age.
        """
        if self.networks is not None:
            detail_BD = self.networks.aged(detail_BD, age)
        return applied_displacement(self._wrinkles(detail_BD, expression_BE, jaw_B3, reliefs), self.head)

    def _layer(self, num_shape: int, num_expression: int) -> HeadLayer:
        key = num_shape, num_expression
        if key not in self._layers:
            self._layers[key] = HeadLayer(self.head, *key).to(self.device)
        return self._layers[key]


def load_models(
    head: str | Path = OPENHEAD,
    weights: str | Path | None = None,
    albedo: str | Path | None = None,
    device: str = "cpu",
) -> Models:
    """The models that a reconstruction needs, by name or path; bundled head models bring their albedo model along.

    Args:
        head: `openhead`, or the path of a head model file.
        weights: DECA's `deca_model.tar` or a weights file of ours; None for none, and thus the landmark fit and no
            wrinkles; `BUILTIN_WEIGHTS` for the bundled ones, or none where they are missing or the head has none.
        albedo: The name of a bundled head model, or the path of an albedo model file.
        device: Torch device of the networks.

    Raises:
        AssetError: A file is missing or damaged, or they do not belong together.
        DeviceError: There is no such device here.

    Warns:
        DecaWarning: The built-in weights are there, but cannot be used.
    """
    device = choose_device(device)
    bundle = bundle_of(str(head))
    if albedo is None and bundle and bundle.albedo:
        albedo = str(head)
    model = load_head(str(head))
    if weights is None:
        networks = None
    elif weights == BUILTIN_WEIGHTS:
        networks = builtin_networks(model, device)
    else:
        networks = Networks.load(weights, device)
    relief = builtin_relief(model) if networks is not None else None
    skin = builtin_skin_map(model)
    if albedo is None:
        return Models(model, networks, None, device, relief, skin)
    return Models(model, networks, load_albedo(albedo), device, relief, skin, builtin_skin_tone())


def builtin_networks(head: HeadModel, device: str = "cpu") -> Networks | None:
    """The networks of the bundled weights; None where they are missing, or for a head model that comes with none.

    Warns:
        DecaWarning: They are there, but damaged or made for another version of the head model; None, too.
    """
    return _builtin(
        head,
        "weights",
        lambda path: Networks.load(path, device),
        lambda networks, head: check_head(networks.card, head),
        "The built-in weights cannot be used, so heads have no wrinkles",
        "Reinstall the add-on, or choose other weights.",
    )


def builtin_relief(head: HeadModel) -> ReliefNetwork | None:
    """The bundled relief network; None, and a warning, as `builtin_networks` gives them."""
    trouble = "The relief network cannot be used, so wrinkles lie where most people have them"
    return _builtin(head, "relief", load_relief, ReliefNetwork.check_head, trouble)


def builtin_skin_map(head: HeadModel) -> SkinMapNetwork | None:
    """The bundled skin map network; None, and a warning, as `builtin_networks` gives them."""
    trouble = "The skin map network cannot be used, so skin is told by its colour"
    return _builtin(head, "skin_map", load_skin_map, SkinMapNetwork.check_head, trouble)


def builtin_skin_tone() -> SkinTone | None:
    """What tells skin's lightness by a face, for any head model; None, and a warning, as of `builtin_networks`."""
    if not (assets_dir() / SKIN_TONE).is_file():
        return None
    return _or_warning(load_skin_tone, "How light skin is cannot be told by the face, so photos have to say it")


def _builtin(
    head: HeadModel,
    what: str,
    load: Callable[[Path], T],
    check: Callable[[T, HeadModel], None],
    trouble: str,
    advice: str = "Reinstall the add-on.",
) -> T | None:
    """What a head model's bundle names by the field `what`; None, with a warning, where it cannot be used."""
    file = getattr(bundle_of(head.name), what, "")
    if not file or not (assets_dir() / file).is_file():
        return None

    def loaded() -> T:
        network = load(asset(file))
        check(network, head)
        return network

    return _or_warning(loaded, trouble, advice)


def _or_warning(load: Callable[[], T], trouble: str, advice: str = "Reinstall the add-on.") -> T | None:
    """What is loaded; None, with a warning, where it cannot be."""
    try:
        return load()
    except AssetError as error:
        warnings.warn(f"{trouble}: {error.message} {advice}", DecaWarning, stacklevel=4)
        return None


def _shown(linear: Tensor) -> Tensor:
    """Linear light as pictures hold it (sRGB's curve, about)."""
    return linear ** (1 / 2.2)
