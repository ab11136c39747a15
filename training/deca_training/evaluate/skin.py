"""What the product takes for skin, and the colour that it gives it, on photos of synthetic people who are known.

Shape suffixes: H W rows and columns of UV maps (256), N texels.
"""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import deltaE_ciede2000
from tqdm import tqdm

from deca.appearance.laid_out import lay_out
from deca.appearance.sampling import view_surface
from deca.appearance.skin import to_lab
from deca.errors import NoFaceError
from deca.networks import MAP_SIZE
from deca.networks.skin_map import Kind
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.reconstruct.pipeline import reconstruct
from deca.render.detail import DETAIL_MASK
from deca.render.lighting import sh_basis
from deca.render.uv import texels_of, uv_mask
from deca.vision import Photo
from deca_training.data.synthetic.carried import KnownPhoto, known_face
from deca_training.data.synthetic.generate import Generator
from deca_training.data.synthetic.light import Light
from deca_training.evaluate.tables import Table
from deca_training.evaluate.tones import as_map, by_photo_alone

SIDE = 448
FIRST = 7_300_000
"""Seed of the first person; nobody else has these."""
_TENTH = 0.1
_EXPOSED = 0.5
"""Mean display value of a face that is lit again."""


def evaluate_skin(product: Models, people: int, photos: int = 2, progress: bool = False) -> Table:
    """Measures skin maps and albedo by the product's whole way.

    The truth is carried through the photo onto the fitted head (`deca_training.data.synthetic.carried`). A photo does
    not say how bright the lamp is, nor its colour: `given` lets an oracle scale each channel of the albedo to the
    truth. What the photo's light still leaves in it shows under another light. What can be known of a skin's tone at
    best, another oracle says, which divides the photo by the light that it was taken in: by how bright it was, or by
    its colour, too. Dice have chosen these people's tones, so that their faces tell nothing of them, and lead astray;
    the photo alone does not. (`deca_training.evaluate.tones` has people whose faces do tell.)

    Args:
        product: The product's models, with its skin map network.
        people: How many.
        photos: Of each.
        progress: Show a progress bar.
    """
    generator = Generator(side=SIDE)
    face_HW = uv_mask(product.head, DETAIL_MASK).numpy() > 0.5
    brows_HW = uv_mask(product.head, "brows").numpy() > 0.1
    openings_HW = (
        np.maximum.reduce([uv_mask(product.head, name).numpy() for name in ("eyes", "eyelids", "mouth")]) > 0.1
    )
    both, either, missed, hidden, count = 0, 0, 0, 0.0, 0
    errors: dict[str, list[float]] = {"albedo": [], "albedo, given": [], "photo": [], "photo, given": []}
    relit: dict[str, list[float]] = {"albedo": [], "photo": []}
    alone = by_photo_alone(product)
    whats = "", ", by the photo alone", ", exposure given", ", exposure and lamp given"
    tones: dict[str, list[tuple[float, float]]] = {what: [] for what in whats}
    for number in tqdm(range(FIRST, FIRST + people), unit="person", disable=not progress):
        subject, _ = generator.subject(number, photos)
        looks = generator.who(number)[4]
        # Under a beard nobody knows the skin.
        maps_4HW = np.concatenate((looks.albedo_3HW.numpy(), looks.skin_HW.numpy()[None]))
        for photo in range(photos):
            pixels_HW3 = subject.image_KHW3[photo]
            try:
                (face, *_) = reconstruct(Photo(pixels_HW3), path=f"{number}", models=product, texture_size=512)
                (plain, *_) = reconstruct(Photo(pixels_HW3), path=f"{number}", models=alone, texture_size=512)
            except NoFaceError:
                missed += 1
                continue
            assert face.skin_map is not None and face.texture is not None and plain.texture is not None
            known = KnownPhoto(known_face(subject, photo, product.head), maps_4HW, subject.mask_KHW[photo])
            carried = known.at(face, face_HW)
            fitted = face.vertices(), face.to_photo(), face.head, face.landmarks_L2
            seen_HW = face_HW & (carried.maps_CHW[:3].sum(0) > 0) & lay_out(pixels_HW3, *fitted).seen_HW
            is_skin_HW = carried.is_skin_HW & seen_HW
            shown_HW = face.skin_map.share(Kind.SKIN, size=MAP_SIZE)
            # Brows are skin to the truth, and hair to the map.
            shown_HW += brows_HW * face.skin_map.share(Kind.FACIAL_HAIR, size=MAP_SIZE)
            found_HW = (shown_HW > 0.5) & seen_HW
            both += int((is_skin_HW & found_HW).sum())
            either += int((is_skin_HW | found_HW).sum())
            true_HW3 = carried.maps_CHW[:3].transpose(1, 2, 0)
            true_N3 = true_HW3[is_skin_HW]
            hidden_HW = seen_HW & ~is_skin_HW & (carried.maps_CHW[3] > 0.9) & ~openings_HW
            normals_3N = _skin_normals(face)[:, is_skin_HW]
            other_N3 = Light.random(np.random.default_rng((number, photo))).shading(normals_3N)[0].T.numpy()
            other_N3 *= _EXPOSED / (true_N3 * other_N3).mean()
            own_3 = (sh_basis(normals_3N[None])[0].T.numpy() @ subject.light_K93[photo]).mean(0)
            told = {", by the photo alone": np.median(as_map(plain.texture.albedo_NN3)[is_skin_HW], axis=0)}
            for name, image in (("albedo", face.texture.albedo_NN3), ("photo", face.texture.photographed_NN3)):
                small_HW3 = as_map(image)
                found_N3 = small_HW3[is_skin_HW]
                errors[name].append(float(np.abs(found_N3 - true_N3).mean()))
                gain_3 = true_N3.sum(0) / np.maximum(found_N3.sum(0), 1e-6)
                errors[f"{name}, given"].append(float(np.abs(found_N3 * gain_3 - true_N3).mean()))
                relit[name].append(float(np.abs((found_N3 * gain_3 - true_N3) * other_N3).mean()))
                if name == "albedo":
                    hidden += float(np.abs(small_HW3[hidden_HW] * gain_3 - true_HW3[hidden_HW]).sum())
                    count += 3 * int(hidden_HW.sum())
                    told[""] = np.median(found_N3, axis=0)
                else:
                    seen_3 = np.median(found_N3, axis=0)
                    told = {", exposure given": seen_3 / own_3.mean(), ", exposure and lamp given": seen_3 / own_3}
                true_lab_3 = to_lab(np.median(true_N3, axis=0))
                for what, tone_3 in told.items():
                    lab_3 = to_lab(tone_3.clip(0, 1).astype(np.float32))
                    tones[what].append((float(true_lab_3[0]), float(deltaE_ciede2000(lab_3, true_lab_3))))
    table = Table(f"Skin and its colour on {len(tones[''])} photos of {people} synthetic people")
    table.add(what="skin or not, intersection over union", value=round(both / max(either, 1), 4))
    for name, values in errors.items():
        table.add(what=f"error of the {name}, of 0..1", value=round(float(np.mean(values)), 4))
    table.add(what="the same of skin under hair, glasses and things, given", value=round(hidden / max(count, 1), 4))
    for name, values in relit.items():
        table.add(what=f"error of the {name}, given, relit by another light", value=round(float(np.mean(values)), 4))
    for what, pairs in tones.items():
        by_tone = np.array(sorted(pairs))[:, 1]
        tenth = max(round(_TENTH * len(by_tone)), 1)
        table.add(what=f"skin tone{what}, CIEDE2000, median", value=round(float(np.median(by_tone)), 2))
        table.add(what=f"of the darkest tenth{what}", value=round(float(np.median(by_tone[:tenth])), 2))
        table.add(what=f"of the palest tenth{what}", value=round(float(np.median(by_tone[-tenth:])), 2))
    if missed:
        table.notes.append(f"No face was found on {missed} photos.")
    return table


def _skin_normals(face: Face) -> torch.Tensor:
    """Normals (3, H, W) of the posed head, head space."""
    texels = texels_of(face.head, MAP_SIZE)
    normals_HW3 = view_surface(texels, face.vertices(), face.to_photo()).normals_HW3
    return torch.from_numpy(np.ascontiguousarray(normals_HW3.transpose(2, 0, 1)))
