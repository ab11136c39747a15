"""What adults measure: published means and standard deviations, and how they are joined to one target.

How they are joined (`target`):

1. Per sex, samples of one ancestry are averaged: surveys differ by instrument and landmark, so each counts once, not by
   its size. Then all ancestries count once (a sample of mixed ancestry is one more). Within-sample variances likewise.
2. Variance of a sex = mean within samples + variance of the means of the ancestries (without the mixed samples).
3. Where the change with age is published in millimetres a year, means are taken to `AGE` and the variance of ages is
   added; the other samples are left as they are.
4. Adults of both sexes, half and half: variance = mean within the sexes + a quarter of the squared difference.

mm and degrees. Where nobody's page gave a figure, it is None; `docs/openhead.md` tells how each source was read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AGE, AGE_SPREAD = 45.0, 17.0
"""Years: mean and standard deviation of the ages of adults from 18 to 85 that the head stands for."""

SOURCES: dict[str, str] = {
    "NIOSH": "NIOSH head-and-face survey of US respirator users, 2003 (Zhuang and Bradtmiller, J Occup Environ Hyg"
    " 2005;2:567-576; CDC data set RD-10130-2020-0), calipers, 2543 men and 1454 women of 17 to 66 years",
    "ANSUR II": "2012 Anthropometric Survey of US Army Personnel (Gordon et al. 2014, NATICK/TR-15/007), its public"
    " files, calipers and tape, 4082 men and 1986 women of 17 to 58 years",
    "ANSUR II, part": "the same: 93 men (mean age 29.3) on three pages of the file of men; women by the differences"
    " between the sexes in the whole files",
    "ANSUR": "1988 survey of US Army personnel, in Dodgson, Optom Vis Sci 2004;81:180-186",
    "3DFN": "3D Facial Norms (Weinberg et al., Cleft Palate Craniofac J 2016;53:e185-e197), stereophotogrammetry, zy"
    " and go by calipers; the curves over age that Cliniface fitted to 950 males and 1500 females of 3 to 40 years,"
    " at 25",
    "Farkas": "Farkas et al., J Craniofac Surg 2005;16:615-646, North American whites of 18 to 30 years, as reprinted"
    " by Al-Sebaei",
    "Al-Sebaei": "Al-Sebaei, Head Face Med 2015;11:5: Saudis, 75 men and 93 women",
    "Virdi": "Virdi, Wertheim and Naini, Maxillofac Plast Reconstr Surg 2019;41:9: Kenyan students of 18 to 30 years",
    "Jayaratne": "Jayaratne et al. 2013 (PMC3730197): Hong Kong Chinese of 18 to 35 years, 51 men and 52 women, 3dMD",
    "Wen": "Wen et al., PLoS One 2015;10:e0134525: meta-analysis of photographs, adults of 18 to 45 years; deviations"
    " of Legan and Burstone 1980 and (nasofrontal) Farkas 1994",
    "E-line": "means of samples of young adults (Pecora et al. 2008, Nanda et al. 1990, Isiekwe et al. 2012, Kim, Choy"
    " and Yun 2002 and others) as the project AutoMovie collected them; deviation of Ricketts 1968",
    "Zaidi": "Zaidi et al., PLoS Genet 2017;13:e1006616: West African and East Asian noses against European ones, 3D",
    "Meijerman": "Meijerman et al., J Forensic Sci 2007;52:286-293: 1353 ears, regression on age",
    "Photos": "this project: `tools/measure_face_depth.py` on a photo each of 997 people of LFW, on which the head of"
    " November 2026, women -3.6 and men -3.0 mm, lay 2 mm too deep; the deviation is a guess",
    "Pecora": "Pecora, Baccetti and McNamara, Am J Orthod Dentofacial Orthop 2008;134:496-505: the same people at 17"
    " and at 57",
}

MIXED = "mixed"


@dataclass(frozen=True)
class Sample:
    """Mean and standard deviation of men and of women of one ancestry in one source; at which mean age, if known."""

    source: str
    ancestry: str
    men: tuple[float, float | None]
    women: tuple[float, float | None]
    age: float | None = None


@dataclass(frozen=True)
class Target:
    """What a measure should be: mean and standard deviation of men, of women, and of both together."""

    men: tuple[float, float]
    women: tuple[float, float]
    mean: float
    spread: float


def _niosh(white: tuple, black: tuple, hispanic: tuple, other: tuple) -> list[Sample]:
    """The four groups of NIOSH's survey, each (men, deviation, women, deviation); most of `other` are Asian."""
    groups = {"european": white, "african": black, "hispanic": hispanic, "asian": other}
    return [Sample("NIOSH", name, g[:2], g[2:]) for name, g in groups.items()]


SAMPLES: dict[str, list[Sample]] = {
    "head_length": [Sample("ANSUR II", MIXED, (199.5, 7.0), (189.8, 7.4))],
    "head_breadth": [Sample("ANSUR II", MIXED, (154.3, 5.5), (147.8, 5.2))],
    "head_circumference": [
        Sample("ANSUR II", MIXED, (574.4, 16.0), (561.1, 19.4)),
        Sample("NIOSH", MIXED, (576.1, 17.5), (558.7, 20.7)),
    ],
    "tragion_to_vertex": [Sample("ANSUR II", MIXED, (131.1, 6.2), (126.5, 6.5))],
    "bizygomatic": [
        *_niosh(
            (142.92, 6.70, 133.75, 6.17),
            (144.63, 6.77, 137.54, 6.24),
            (145.73, 6.88, 137.68, 6.47),
            (144.69, 7.14, 137.83, 6.43),
        ),
        Sample("ANSUR II, part", MIXED, (142.63, 5.97), (133.7, None)),
        Sample("3DFN", "european", (137.12, 6.27), (130.09, 5.30)),
        Sample("Virdi", "african", (133.8, 4.6), (130.1, 3.5)),
    ],
    "bigonial": [
        *_niosh(
            (119.89, 10.01, 108.46, 8.23),
            (120.76, 11.35, 113.76, 9.35),
            (123.54, 11.68, 113.63, 10.70),
            (119.98, 9.75, 112.36, 8.46),
        ),
        Sample("3DFN", "european", (103.69, 7.10), (96.96, 6.48)),
        Sample("Virdi", "african", (106.6, 5.9), (96.8, 2.9)),
    ],
    "face_height": [
        *_niosh(
            (122.57, 6.92, 112.98, 5.78),
            (125.40, 7.34, 116.54, 6.37),
            (122.60, 6.85, 114.49, 6.34),
            (120.76, 7.30, 110.82, 6.12),
        ),
        Sample("ANSUR II, part", MIXED, (121.81, 6.76), (112.3, None)),
    ],
    "lower_face_height": [
        Sample("Al-Sebaei", "middle eastern", (65.02, 5.16), (60.27, 4.62)),
        Sample("Virdi", "african", (76.4, 3.6), (69.5, 4.8)),
    ],
    "nose_height": _niosh(
        (52.31, 4.05, 48.56, 3.68), (50.78, 4.13, 47.37, 3.69), (52.31, 3.94, 48.15, 4.09), (51.28, 4.36, 46.18, 3.69)
    ),
    # African and Asian: Zaidi's ratios of protrusion to height of the nose, times 3DFN's height in NIOSH's proportion.
    "nose_protrusion": [
        Sample("3DFN", "european", (20.95, 1.97), (20.01, 1.83)),
        Sample("Zaidi", "african", (18.5, None), (17.0, None)),
        Sample("Zaidi", "asian", (18.4, None), (16.7, None)),
    ],
    "nose_width": [
        *_niosh(
            (35.31, 3.18, 31.56, 2.60),
            (43.41, 3.87, 40.10, 3.48),
            (37.39, 3.35, 34.76, 3.25),
            (38.28, 4.14, 34.99, 3.53),
        ),
        Sample("3DFN", "european", (35.91, 2.62), (32.67, 2.34)),
        Sample("Farkas", "european", (34.9, 2.1), (31.4, 2.0)),
        Sample("Al-Sebaei", "middle eastern", (36.85, 3.16), (32.87, 3.29)),
        Sample("Virdi", "african", (43.2, 3.8), (40.7, 3.7)),
    ],
    "dorsum": [Sample("Photos", MIXED, (-1.0, 1.5), (-1.6, 1.5))],
    "interpupillary": [
        *_niosh(
            (64.00, 3.40, 61.17, 3.14),
            (67.70, 3.64, 65.51, 3.77),
            (64.66, 3.32, 62.17, 3.14),
            (64.89, 3.85, 61.99, 3.40),
        ),
        Sample("ANSUR", MIXED, (64.67, 3.71), (62.31, 3.60)),
    ],
    "intercanthal": [
        Sample("3DFN", "european", (32.74, 2.90), (31.46, 2.70)),
        Sample("Farkas", "european", (33.3, 2.7), (31.8, 2.3)),
        Sample("Al-Sebaei", "middle eastern", (30.30, 3.10), (30.32, 2.40)),
        Sample("Virdi", "african", (32.2, 1.9), (32.1, 1.4)),
    ],
    "biocular": [
        Sample("3DFN", "european", (88.85, 4.05), (85.64, 3.82)),
        Sample("Virdi", "african", (98.2, 3.5), (94.4, 4.9)),
        Sample("Jayaratne", "asian", (93.00, 5.56), (88.39, 3.74)),
    ],
    "eye_fissure": [
        Sample("3DFN", "european", (28.71, 1.95), (27.83, 1.97)),
        Sample("Al-Sebaei", "middle eastern", (32.85, 2.73), (32.41, 3.44)),
        Sample("Virdi", "african", (34.0, 3.4), (33.7, 1.5)),
    ],
    "mouth_width": [
        *_niosh(
            (50.66, 3.99, 47.06, 3.53),
            (54.35, 3.91, 51.90, 3.88),
            (51.12, 3.82, 49.08, 3.90),
            (50.56, 4.48, 46.79, 4.20),
        ),
        Sample("3DFN", "european", (50.10, 3.84), (47.87, 3.54)),
        Sample("Virdi", "african", (55.9, 3.3), (52.0, 4.0)),
        Sample("Jayaratne", "asian", (49.7, None), (45.18, None)),
    ],
    "philtrum_width": [Sample("3DFN", "european", (13.06, 1.74), (11.75, 1.71))],
    "philtrum_length": [
        Sample("3DFN", "european", (16.33, 2.49), (14.00, 2.35)),
        Sample("Virdi", "african", (15.5, 1.3), (13.5, 1.6)),
    ],
    "upper_lip_height": [
        Sample("3DFN", "european", (22.63, 2.54), (20.25, 2.44)),
        Sample("Virdi", "african", (25.5, 1.3), (24.0, 2.5)),
    ],
    "upper_vermilion": [
        Sample("3DFN", "european", (7.59, 1.61), (7.39, 1.41)),
        Sample("Virdi", "african", (13.7, 1.3), (13.4, 0.9)),
    ],
    "lower_vermilion": [
        Sample("3DFN", "european", (8.72, 2.12), (8.58, 1.74)),
        Sample("Virdi", "african", (13.8, 0.9), (13.6, 1.0)),
        Sample("Jayaratne", "asian", (10.98, None), (9.79, None)),
    ],
    # Women's ears: length by the difference between the sexes in the whole files, breadth in proportion, protrusion by
    # its published ratio to the length (0.35); deviations in proportion to men's.
    "ear_length": [Sample("ANSUR II, part", MIXED, (63.92, 4.24), (59.0, 3.91), 29.3)],
    "ear_breadth": [Sample("ANSUR II, part", MIXED, (36.25, 2.88), (33.5, 2.66), 29.3)],
    "ear_protrusion": [Sample("ANSUR II, part", MIXED, (23.12, 2.79), (20.6, 2.49))],
    "facial_convexity": [
        Sample("Wen", "european", (167.8, 4.0), (168.2, 4.0)),
        Sample("Wen", "african", (168.5, 4.0), (170.8, 4.0)),
        Sample("Wen", "asian", (168.3, 4.0), (170.2, 4.0)),
    ],
    "nasofrontal_angle": [
        Sample("Wen", "european", (137.9, 7.0), (140.6, 7.0)),
        Sample("Wen", "african", (129.7, 7.0), (132.2, 7.0)),
        Sample("Wen", "asian", (133.7, 7.0), (139.3, 7.0)),
    ],
    "nasolabial_angle": [
        Sample("Wen", "european", (100.1, 8.0), (103.3, 8.0)),
        Sample("Wen", "african", (87.5, 8.0), (85.9, 8.0)),
        Sample("Wen", "asian", (94.7, 8.0), (94.2, 8.0)),
    ],
    "upper_lip_to_e_line": [
        Sample("E-line", "european", (-4.58, 2.0), (-4.97, 2.0), 18.0),
        Sample("E-line", "african", (2.60, 2.0), (1.88, 2.0), 21.0),
        Sample("E-line", "asian", (0.13, 2.0), (-0.08, 2.0), 21.0),
    ],
    "lower_lip_to_e_line": [
        Sample("E-line", "european", (-2.92, 2.0), (-2.35, 2.0), 18.0),
        Sample("E-line", "african", (5.97, 2.0), (4.78, 2.0), 21.0),
        Sample("E-line", "asian", (1.23, 2.0), (1.27, 2.0), 21.0),
    ],
}
"""By the keys of `measures.MEASURES`."""

AGEING: dict[str, tuple[float, float]] = {
    "ear_length": (0.178, 0.162),
    "ear_breadth": (0.073, 0.073),
    "upper_lip_to_e_line": (-3.4 / 40, -1.2 / 40),
    "lower_lip_to_e_line": (-4.3 / 40, -1.6 / 40),
}
"""mm a year of men and of women: ears by Meijerman, lips by Pecora."""


@dataclass(frozen=True)
class Correlation:
    """How two measures go together among people of one sex."""

    first: str
    second: str
    within_sex: float
    source: str


CORRELATIONS: tuple[Correlation, ...] = (
    Correlation("head_breadth", "bizygomatic", 0.63, "ANSUR II"),
    Correlation("face_height", "bizygomatic", 0.20, "ANSUR II"),
    Correlation("head_length", "bizygomatic", 0.18, "ANSUR II"),
    Correlation("face_height", "head_breadth", 0.17, "ANSUR II"),
    Correlation("head_length", "head_circumference", 0.83, "ANSUR II, part"),
    Correlation("head_breadth", "head_circumference", 0.48, "ANSUR II, part"),
    Correlation("head_breadth", "head_length", 0.07, "ANSUR II, part"),
    Correlation("head_breadth", "tragion_to_vertex", 0.39, "ANSUR II, part"),
    Correlation("head_length", "face_height", 0.23, "ANSUR II, part"),
    Correlation("bizygomatic", "ear_length", 0.25, "ANSUR II, part"),
    Correlation("head_length", "ear_length", 0.26, "ANSUR II, part"),
)


def target(key: str) -> Target:
    """The joined figures of a measure, by the rule at the top of this file."""
    samples = SAMPLES[key]
    sexes = [_one_sex(samples, [s.men for s in samples], key, 0), _one_sex(samples, [s.women for s in samples], key, 1)]
    (men, men_spread), (women, women_spread) = sexes
    spread = math.sqrt((men_spread**2 + women_spread**2) / 2 + ((men - women) / 2) ** 2)
    return Target(sexes[0], sexes[1], (men + women) / 2, spread)


def correlation_target(correlation: Correlation) -> float:
    """The correlation among adults of both sexes, whose means differ by sex."""
    first, second = target(correlation.first), target(correlation.second)
    within = [t.spread**2 - ((t.men[0] - t.women[0]) / 2) ** 2 for t in (first, second)]
    between = (first.men[0] - first.women[0]) / 2 * (second.men[0] - second.women[0]) / 2
    together = correlation.within_sex * math.sqrt(within[0] * within[1]) + between
    return together / (first.spread * second.spread)


def _one_sex(
    samples: list[Sample], figures: list[tuple[float, float | None]], key: str, sex: int
) -> tuple[float, float]:
    trend = AGEING[key][sex] if key in AGEING else 0.0
    means: dict[str, list[float]] = {}
    variances: dict[str, list[float]] = {}
    for sample, (mean, spread) in zip(samples, figures, strict=True):
        years = 0.0 if sample.age is None else AGE - sample.age
        means.setdefault(sample.ancestry, []).append(mean + trend * years)
        if spread is not None:
            variances.setdefault(sample.ancestry, []).append(spread**2)
    by_ancestry = {name: float(np.mean(values)) for name, values in means.items()}
    between = float(np.var([mean for name, mean in by_ancestry.items() if name != MIXED] or [0.0]))
    within = float(np.mean([float(np.mean(values)) for values in variances.values()]))
    return float(np.mean(list(by_ancestry.values()))), math.sqrt(within + between + (trend * AGE_SPREAD) ** 2)
