"""Random people: what their skin holds, their hair, brows, beard, lips and eyes; and their albedo painted from that.

No picture of a person went into it: the ranges are chosen so that the skin's tone is spread evenly over the individual
typology angle's (ITA) six classes from the lightest to the darkest human skin, and hair and eyes go with it.

Shape suffixes: N texels of a `Canvas`, C fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deca.appearance.skin import to_lab

from .optics import LEAST_MELANIN, MOST_MELANIN, skin_colours
from .regions import BROAD_NOISE, FINE_NOISE, Canvas

TONES = (-58.0, -30.0, 10.0, 28.0, 41.0, 55.0, 66.0)
"""Bounds of the six skin tones, dark, brown, tan, intermediate, light and very light: ITA in degrees (Chardon et al.
1991), with the ends of the sample."""
_IRISES = np.array(((0.45, 0.57, 0.66), (0.46, 0.52, 0.47), (0.45, 0.38, 0.22), (0.33, 0.21, 0.12), (0.17, 0.10, 0.06)))
"""sRGB from blue over green, hazel and brown to dark brown."""
_EUMELANIN, _PHEOMELANIN = np.array((0.419, 0.697, 1.37)), np.array((0.187, 0.4, 1.05))
"""Absorption of hair per unit of pigment in linear RGB (d'Eon et al. 2011)."""
_HAIR_SCATTERING = 5.888
"""-log(colour) per root of absorption, for fibres of azimuthal roughness 0.3 (Chiang et al. 2016, Eq. 9)."""
_GREY_HAIR = np.array((0.66, 0.65, 0.63))
_LIPSTICK = np.array((0.62, 0.24, 0.27))
_DENSEST = 0.75
"""Densest beard: hair that lies on skin never hides all of it at a texel's width."""

# How strongly each region's pigments may differ from the skin around: log of the ratio, mean and standard deviation.
_MELANIN_OF = {
    "exposed": (0.06, 0.09),
    "forehead": (0.05, 0.08),
    "under_eyes": (0.16, 0.11),
    "eyelids": (0.12, 0.10),
    "mouth_round": (0.04, 0.08),
    "temples": (0.04, 0.07),
    "neck": (0.0, 0.08),
    "lips": (-0.25, 0.35),
}
_BLOOD_OF = {
    "cheeks": (0.45, 0.30),
    "nose": (0.50, 0.28),
    "ears": (0.45, 0.25),
    "chin": (0.22, 0.18),
    "forehead": (0.08, 0.15),
    "under_eyes": (0.20, 0.22),
    "eyelids": (0.25, 0.20),
    "neck": (0.0, 0.15),
    "lips": (1.50, 0.32),
    "lower_lip": (0.20, 0.15),
}


@dataclass(frozen=True)
class Person:
    """What decides a person's albedo; strengths are 0 to 1 unless said.

    Attributes:
        melanin, blood, pheomelanin: What the skin holds (`optics.reflectance`).
        melanin_of, blood_of: Log ratio of the pigments in each region, by its name.
        melanin_noise_C, blood_noise_C: Weights of the canvas' noise, log ratio.
        hair_colour: sRGB.
        hair: Density of the scalp's hair.
        receding: How far it has left the forehead.
        brow: Density of the brows.
        brow_width: -1 thin to 1 wide.
        brow_lift: -1 low to 1 high, about a texel of 256.
        beard, moustache, goatee: Density of the hair: below 0.25 a shadow.
        lipstick: Strength.
        lipstick_colour: sRGB.
        lashes: Strength.
        iris: sRGB.
    """

    melanin: float
    blood: float
    pheomelanin: float
    melanin_of: dict[str, float]
    blood_of: dict[str, float]
    melanin_noise_C: NDArray[np.float64]
    blood_noise_C: NDArray[np.float64]
    hair_colour: NDArray[np.float64]
    hair: float
    receding: float
    brow: float
    brow_width: float
    brow_lift: float
    beard: float
    moustache: float
    goatee: float
    lipstick: float
    lipstick_colour: NDArray[np.float64]
    lashes: float
    iris: NDArray[np.float64]

    @classmethod
    def random(cls, random: np.random.Generator, ita: float) -> Person:
        """A person whose forehead has about the given individual typology angle, degrees."""
        lightness = float(np.clip((ita + 50) / 110, 0, 1))
        blood = 0.007 * np.exp(0.35 * random.normal())
        pheomelanin = float(random.uniform(0.1, 0.4))
        noise = np.concatenate((np.full(BROAD_NOISE, 0.030), np.full(FINE_NOISE, 0.018)))
        # Half of the people have no beard; the others' density falls off from a shadow to a full beard. Coefficients
        # are Gaussian to whoever draws or fits them: a gap between shaven and bearded would come back as half beards.
        man = random.random() < 0.5
        beard = float(np.clip(random.normal(0.26, 0.22), 0.03, 1.0)) if man else 0.0
        return cls(
            melanin=_melanin_for(ita, blood, pheomelanin),
            blood=blood,
            pheomelanin=pheomelanin,
            melanin_of={name: random.normal(mean, spread) for name, (mean, spread) in _MELANIN_OF.items()},
            blood_of={name: random.normal(mean, spread) for name, (mean, spread) in _BLOOD_OF.items()},
            melanin_noise_C=noise * random.normal(size=len(noise)),
            blood_noise_C=2.0 * noise * random.normal(size=len(noise)),
            hair_colour=_hair_colour(random, lightness),
            hair=float(random.uniform(0.75, 0.95) if random.random() < 0.85 else random.uniform(0, 0.5)),
            receding=float(man * random.beta(0.6, 2.5)),
            brow=float(random.uniform(0.3, 0.85)),
            brow_width=float(np.clip(random.normal(0.25 * man, 0.5), -1, 1)),
            brow_lift=float(np.clip(random.normal(0, 0.5), -1, 1)),
            beard=beard,
            moustache=float(beard * random.uniform(0.5, 1.1)),
            goatee=float(beard * random.uniform(0, 0.5)),
            lipstick=float((not man) * max(random.normal(0.05, 0.22), 0)),
            lipstick_colour=_varied(_LIPSTICK, 0.15 * random.normal(size=3)),
            lashes=float(random.uniform(0.3, 0.7) if man else random.uniform(0.45, 1.0)),
            iris=_iris(random, lightness),
        )


def people(count: int, seed: int) -> list[Person]:
    """People, as many of each of the six skin tones."""
    random = np.random.default_rng(seed)
    steps = (random.permutation(count) + random.uniform(size=count)) / count
    angles = np.interp(steps, np.linspace(0, 1, len(TONES)), TONES)
    return [Person.random(random, angle) for angle in angles.tolist()]


def ita(srgb: NDArray) -> NDArray[np.float32]:
    """Individual typology angle (...), degrees, of sRGB colours (..., 3)."""
    lab = to_lab(np.asarray(srgb, np.float32))
    return np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))


def paint_person(person: Person, canvas: Canvas) -> NDArray[np.float32]:
    """A person's albedo (N, 3) on the canvas: display values (sRGB) in [0, 1], as DECA multiplies them with light."""
    fields = canvas.fields
    melanin_N = canvas.noise_NC @ person.melanin_noise_C
    blood_N = canvas.noise_NC @ person.blood_noise_C
    for log_N, ratios in ((melanin_N, person.melanin_of), (blood_N, person.blood_of)):
        for name, ratio in ratios.items():
            log_N += ratio * fields[name]
    colours_N3 = skin_colours()(
        person.melanin * np.exp(melanin_N), person.blood * np.exp(blood_N), np.array(person.pheomelanin)
    )

    def cover(weight_N: NDArray, colour: NDArray) -> None:
        nonlocal colours_N3
        colours_N3 = colours_N3 + np.clip(weight_N, 0, 1)[:, None] * (colour - colours_N3)

    cover(person.lipstick * fields["lips"], person.lipstick_colour)
    facial_hair = 0.9 * person.hair_colour
    grown_N = np.maximum(person.beard * fields["beard"], person.moustache * fields["moustache"])
    cover(_DENSEST * (grown_N + person.goatee * fields["goatee"] * (1 - grown_N)), facial_hair)
    cover(person.brow * _brows(person, fields), facial_hair)
    cover(0.7 * person.lashes * fields["lashes"], 0.4 * person.hair_colour)
    receding_N = person.receding * np.maximum(fields["crown"], fields["temples"])
    cover(person.hair * (1 - receding_N) * _grown(fields["scalp"]), person.hair_colour)

    colours_N3 = canvas.mouth_base_N3 + canvas.mouth_keep_N3 * colours_N3
    eye_N1 = fields["eyes"][:, None]
    colours_N3 += eye_N1 * (canvas.eye_base_N3 + canvas.eye_iris_N3 * person.iris - colours_N3)
    return np.clip(colours_N3, 0, 1).astype(np.float32)


def _grown(scalp_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where hair grows: the scalp's mask falls off over centimetres, a hairline over one."""
    share_N = np.clip((scalp_N - 0.2) / 0.45, 0, 1)
    return share_N * share_N * (3 - 2 * share_N)


def _brows(person: Person, fields: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    width, lift = person.brow_width, person.brow_lift
    moved_N = fields["brows_up" if lift > 0 else "brows_down"]
    brows_N = fields["brows"] + abs(lift) * (moved_N - fields["brows"])
    return brows_N + width * (fields["brows_wide"] - brows_N) if width > 0 else brows_N ** (1 - width)


def _melanin_for(angle: float, blood: float, pheomelanin: float) -> float:
    """Melanin that gives skin of this blood the individual typology angle, or the nearest there is."""
    melanin = np.geomspace(LEAST_MELANIN, MOST_MELANIN, 200)
    angles = ita(skin_colours()(melanin, np.full(200, blood), np.full(200, pheomelanin)))
    return float(np.exp(np.interp(-angle, -angles, np.log(melanin))))


def _hair_colour(random: np.random.Generator, lightness: float) -> NDArray[np.float64]:
    """Hair (sRGB): dark for dark skin, anything for light skin, grey for some of all."""
    eumelanin = 0.10 + 1.5 * random.beta(2, 1 + 3 * lightness**2)
    if lightness < 0.6:
        eumelanin = max(eumelanin, 0.6)
    pheomelanin = 0.4 * lightness**2 * random.beta(1, 3)
    linear = np.exp(-_HAIR_SCATTERING * np.sqrt(eumelanin * _EUMELANIN + pheomelanin * _PHEOMELANIN))
    # What the fibres' surface reflects; hair is never darker.
    srgb = 0.045 + 0.955 * (1.055 * linear ** (1 / 2.4) - 0.055).clip(0, 1)
    grey = random.random() < 0.15
    return srgb + grey * random.uniform(0.2, 1.0) * (_GREY_HAIR - srgb)


def _iris(random: np.random.Generator, lightness: float) -> NDArray[np.float64]:
    """Iris (sRGB): brown, or for light skin anything from blue on."""
    pigment = random.uniform(0, 1) if random.random() < lightness**2 else random.uniform(0.65, 1)
    at = pigment * (len(_IRISES) - 1)
    colour = np.array([np.interp(at, range(len(_IRISES)), _IRISES[:, c]) for c in range(3)])
    return _varied(colour, 0.12 * random.normal())


def _varied(colour: NDArray, log_ratio: NDArray | float) -> NDArray[np.float64]:
    return np.asarray(colour * np.exp(log_ratio), np.float64)
