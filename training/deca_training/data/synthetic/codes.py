"""What a detail code should say of a synthetic subject.

E_d and F_d could agree on any code; but as long as F_d cannot read what E_d does not yet write, neither learns much
about the person. So both are shown one: the principal components of the people's wrinkles.

Shape suffixes: N subjects, D detail code, X texels of two maps.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deca.files import read_npz, write_file
from deca_training.data.synthetic.subjects import SyntheticSubject, SyntheticSubjects

_FILE = "detail_codes.npz"


def subject_codes(subjects: SyntheticSubjects, length: int) -> dict[str, NDArray[np.float32]]:
    """The code (D,) of every subject in a folder, by name; kept in a file there.

    The components of the neutral displacement and of that with all wrinkles active, over the people of the folder. The
    first has variance 1, the others less as they matter less.
    """
    path = subjects.paths[0].parent / _FILE
    names = [each.stem for each in SyntheticSubjects(path.parent).paths]
    if path.is_file():
        kept = read_npz(path, ("names", "codes_ND"))
        if kept["names"].tolist() == names and kept["codes_ND"].shape[1] == length:
            return dict(zip(names, kept["codes_ND"], strict=True))
    files = tqdm([path.parent / f"{name}.npz" for name in names], desc="detail codes")
    codes_ND = principal_codes([_wrinkles(SyntheticSubject.load(file)) for file in files], length)
    buffer = io.BytesIO()
    np.savez(buffer, names=np.array(names), codes_ND=codes_ND)
    write_file(path, buffer.getvalue())
    return dict(zip(names, codes_ND, strict=True))


def _wrinkles(subject: SyntheticSubject) -> NDArray[np.float16]:
    """The neutral map and the one with all wrinkles (2, 256, 256), millimetres in half precision."""
    all_HW = subject.displacement_of(np.ones((1, len(subject.neutral_C)), np.float32))[0]
    return (1e3 * np.stack((subject.neutral_displacement_HW, all_HW))).astype(np.float16)


def principal_codes(maps_NX: Sequence[NDArray], length: int) -> NDArray[np.float32]:
    """Principal components (N, D) of N vectors, of variance singular value / first; zero after the N-th.

    More of a component goes with deeper wrinkles, so that a code means the same from one training to the next.
    """
    centred_NX = np.stack([np.ravel(map_X) for map_X in maps_NX]).astype(np.float64)
    depth_N = np.linalg.norm(centred_NX, axis=1)
    centred_NX -= centred_NX.mean(0)
    squares_N, vectors_NN = np.linalg.eigh(centred_NX @ centred_NX.T)
    kept = np.argsort(squares_N)[::-1][:length]
    spread_D = np.sqrt(np.sqrt(np.maximum(squares_N[kept] / squares_N[kept[0]], 0)))
    codes_ND = np.zeros((len(centred_NX), length), np.float32)
    deeper_D = np.where((depth_N - depth_N.mean()) @ vectors_NN[:, kept] < 0, -1.0, 1.0)
    codes_ND[:, : len(kept)] = vectors_NN[:, kept] * deeper_D * np.sqrt(len(centred_NX)) * spread_D
    return codes_ND
