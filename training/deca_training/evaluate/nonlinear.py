"""The tables of the nonlinear face model's paper on our photos and heads (Tran, Liu and Liu 2019, Sections 4.2, 4.3).

Textures: albedo and light are found for photos that nobody learnt from, with the geometry given; shapes: codes are
found for heads that the linear model cannot give; identity: what a recognition network says of the renderings.

Shape suffixes: B photos, N code, A components, V vertices, C channels, H W rows and columns of the window of the UV
map, X = 3 H W, Y of crops, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deca.appearance.albedo import AlbedoModel
from deca.errors import OptionError
from deca.head import HeadModel
from deca.networks.nonlinear import DecoderSizes, NonlinearCard, NonlinearNetworks
from deca.reconstruct.nonlinear import NonlinearHead, fit_shapes, fit_textures
from deca.render.camera import project
from deca.render.renderer import Renderer
from deca_training.batch import Batch
from deca_training.data.fitted import FittedPhotos
from deca_training.data.photo_albedo import batches, components_of, fitted_verts, shown_albedo, view_of
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.evaluate.tables import Table

_AT_ONCE = 16
Embedding = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AlbedoSpace:
    """A model of albedo to be compared.

    Attributes:
        name: What it is called.
        albedo_of: Codes (B, N) to albedo (B, 3, H, W) of the window.
        first_of: Codes to begin with, of a batch.
    """

    name: str
    albedo_of: Callable[[Tensor], Tensor]
    first_of: Callable[[Batch], Tensor]


def linear_space(face: NonlinearHead) -> AlbedoSpace:
    """The bundled linear albedo model, which begins with what was fitted to the photo."""
    count = face.sizes.linear_albedo

    def first_of(batch: Batch) -> Tensor:
        assert batch.geometry is not None
        return batch.geometry.albedo_BA[:, :count]

    return AlbedoSpace(f"linear {count}", lambda code_BN: face.albedo(code_BN, torch.zeros(())), first_of)


def nonlinear_space(name: str, networks: NonlinearNetworks, face: NonlinearHead) -> AlbedoSpace:
    """D_A's true albedo, which begins with what was fitted to the photo, and with what E says of the rest."""

    def albedo_of(code_BN: Tensor) -> Tensor:
        return face.albedo(code_BN, networks.albedo_offset(code_BN).true_B3HW)

    def first_of(batch: Batch) -> Tensor:
        assert batch.geometry is not None
        fitted_BA = batch.geometry.albedo_BA
        with torch.no_grad():
            return torch.cat((fitted_BA, networks.codes(batch.image_B3HW).albedo_BA[:, fitted_BA.shape[1] :]), 1)

    return AlbedoSpace(name, albedo_of, first_of)


def learnt_space(photos: FittedPhotos, face: NonlinearHead, components: int) -> AlbedoSpace:
    """A linear model of the same photos: principal components of their albedo, photo over shading.

    What a photo does not show is the mean at first, then what the components say of it.

    Args:
        photos: What the nonlinear model learnt from.
        face: Gives the window.
        components: As many as the nonlinear code has; fewer where there are no more photos.
    """
    found = components_of(*shown_albedo(photos, face), components, face.mean_Y)
    count = len(found.basis_KX)

    def albedo_of(code_BN: Tensor) -> Tensor:
        return (found.mean_X + code_BN @ found.basis_KX).view(-1, 3, *face.covered_HW.shape)

    return AlbedoSpace(f"PCA {count} of the same photos", albedo_of, lambda batch: torch.zeros(len(batch), count))


def evaluate_textures(
    photos: FittedPhotos,
    face: NonlinearHead,
    spaces: Sequence[AlbedoSpace],
    *,
    embedding: Embedding | None = None,
    steps: int = 100,
    progress: bool = False,
) -> Table:
    """How near albedo models come to photos with the geometry given, and who people are then taken for.

    Args:
        photos: Of people that no model learnt from.
        face: Head model and window.
        spaces: The albedo models.
        embedding: Face recognition; None leaves identity out.
        steps: Of Adam per photo.
        progress: Show a progress bar.
    """
    errors: dict[str, list[float]] = {space.name: [] for space in spaces}
    cosines: dict[str, list[float]] = {space.name: [] for space in spaces}
    for batch in tqdm(batches(photos), disable=not progress, unit="batch"):
        view, light_B93 = view_of(face, batch)
        for space in spaces:
            found = fit_textures(space.albedo_of, space.first_of(batch), light_B93, view, steps=steps)
            errors[space.name] += found.error_B.tolist()
            if embedding is not None:
                with torch.no_grad():
                    albedo_B3HW = space.albedo_of(found.code_BN)
                cosines[space.name] += _identity(face, batch, albedo_B3HW, found.light_B93, embedding)
    table = Table("Textures of photos that no model learnt from, geometry given")
    best_B = np.argmax(list(cosines.values()), axis=0) if embedding is not None else np.zeros(0)
    first = float(np.mean(errors[spaces[0].name]))
    for number, space in enumerate(spaces):
        mean = float(np.mean(errors[space.name]))
        row: dict[str, str | float | int | None] = {"model": space.name, "l21": mean, "of_the_first": mean / first}
        if embedding is not None:
            row |= {"identity_cosine": float(np.mean(cosines[space.name])), "best_on": float(np.mean(best_B == number))}
        table.add(**row)
    rows, columns = face.covered_HW.shape
    table.notes += [
        f"{len(photos)} photos; {steps} steps of Adam on albedo code and light, from the same light",
        f"l2,1 in display values 0..1 over the seen skin, texels of a window of {rows} x {columns}",
    ]
    if embedding is not None:
        table.notes.append("identity: cosine of the photo and of the rendering drawn over its skin; best on: of photos")
    return table


@torch.no_grad()
def _identity(
    face: NonlinearHead, batch: Batch, albedo_B3HW: Tensor, light_B93: Tensor, embedding: Embedding
) -> list[float]:
    """Cosines of photos and renderings, drawn over the skin that the photos show."""
    codes = batch.geometry
    assert codes is not None and batch.seen_B1HW is not None
    verts_BV3 = fitted_verts(face, codes)
    surface = Renderer.of_head(face.head)(verts_BV3, project(verts_BV3, codes.camera_B3))
    size = face.sizes.map_size
    map_B4YY = albedo_B3HW.new_zeros(len(albedo_B3HW), 4, size, size)
    map_B4YY[..., *face.window] = torch.cat((albedo_B3HW, face.skin_HW * face.shown_on_window(batch.seen_B1HW)), 1)
    image_B3YY = surface.shade(map_B4YY[:, :3], light_B93).image_B3HW.clamp(0, 1)
    drawn_B3YY = torch.lerp(batch.image_B3HW, image_B3YY, surface.texture(map_B4YY[:, 3:]))
    marks_BL2 = batch.landmarks68_BL3[..., :2]
    photo_BD, drawn_BD = embedding(batch.image_B3HW, marks_BL2), embedding(drawn_B3YY, marks_BL2)
    return torch.nn.functional.cosine_similarity(photo_BD, drawn_BD).tolist()


def evaluate_shapes(
    people: SyntheticSubjects,
    head: HeadModel,
    albedo: AlbedoModel,
    models: Sequence[tuple[str, NonlinearNetworks]],
    *,
    steps: int = 200,
    progress: bool = False,
) -> Table:
    """How near models come to neutral heads outside of the linear model's span (Section 4.2): NME, the mean distance
    of the face's vertices over that of the outer eye corners.

    Args:
        people: Made with `deca-train synthetic --outside`.
        head: The head model.
        albedo: Its albedo model.
        models: Networks by name; linear models are added.
        steps: Of Adam per head.
        progress: Show a progress bar.

    Raises:
        OptionError: There are no networks.
    """
    if not models:
        raise OptionError("No networks to compare were given.", "Name weights with --weights.")
    card = models[0][1].card
    compared = []
    for count in (card.decoders.linear_shape, head.shape_dirs_V3S.shape[2]):
        sizes = replace(card.decoders, decoder="linear", linear_shape=count)
        compared.append((f"linear {count}", _linear(head, card, sizes)))
    offsets = [subject.offset_V3 for subject in people]
    targets = [head.template_V3 + head.shape_dirs_V3S @ one.shape_S + one.offset_V3 for one in people]
    target_BV3 = torch.from_numpy(np.stack(targets).astype(np.float32))
    table = Table("Neutral heads outside of the span of the shape coefficients")
    for name, networks in tqdm([*compared, *models], disable=not progress, unit="model"):
        face = NonlinearHead(head, albedo, networks.card.decoders, networks.card.sizes.expression)
        nme = []
        for part_BV3 in target_BV3.split(_AT_ONCE):
            code_BN = fit_shapes(networks, face, part_BV3, steps=steps)
            with torch.no_grad():
                verts_BV3 = face.neutral(code_BN, networks.displacement(code_BN).true_B3HW)
            nme += _nme(face, verts_BV3, part_BV3).tolist()
        table.add(model=name, nme=float(np.mean(nme)))
    size = 1e3 * float(np.mean([np.sqrt((offset_V3[offset_V3.any(1)] ** 2).sum(1).mean()) for offset_V3 in offsets]))
    table.notes += [
        f"{len(people)} heads; root mean square of what the coefficients cannot give: {size:.2f} mm",
        f"{steps} steps of Adam on the code, by distances of vertices and directions of normals",
    ]
    return table


def _linear(head: HeadModel, card: NonlinearCard, sizes: DecoderSizes) -> NonlinearNetworks:
    lengths = replace(card.sizes, shape=max(card.sizes.shape, sizes.linear_shape))
    return NonlinearNetworks(NonlinearCard.of(head, lengths, sizes, backbone=card.backbone)).eval()


def _nme(face: NonlinearHead, verts_BV3: Tensor, target_BV3: Tensor) -> Tensor:
    face_V = face.share_V1[:, 0] > 0.5
    away_B = (verts_BV3 - target_BV3)[:, face_V].norm(dim=-1).mean(1)
    eyes_B23 = face.layer.landmarks_68_fixed(target_BV3)[:, [36, 45]]
    return away_B / (eyes_B23[:, 0] - eyes_B23[:, 1]).norm(dim=-1)
