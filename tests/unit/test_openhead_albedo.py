"""OpenHead's albedo basis: the shipped file, the sample it was made from, and the colours of skin behind it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.appearance.skin import to_lab
from deca.assets import asset
from deca.errors import AssetError
from deca.head import HeadModel, Part, load_head
from deca.render.uv import texels_of
from tools.openhead_albedo import optics
from tools.openhead_albedo.basis import principal_components, sample_albedos, texel_weights, write_basis
from tools.openhead_albedo.people import TONES, ita
from tools.openhead_albedo.regions import Canvas, build_canvas

SIZE = 256
HELD_OUT_SEED = 99
"""Another than `tools/build_albedo.py` draws its sample with."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def canvas(head: HeadModel) -> Canvas:
    return build_canvas(head, SIZE)


@pytest.fixture(scope="module")
def model() -> AlbedoModel:
    return load_albedo("openhead")


@pytest.fixture(scope="module")
def weights_X(canvas: Canvas) -> np.ndarray:
    return texel_weights(canvas)


@pytest.fixture(scope="module")
def held_out_PX(canvas: Canvas) -> np.ndarray:
    """Albedos of 100 people whom the basis has not seen."""
    return sample_albedos(canvas, 100, HELD_OUT_SEED)


def on_canvas(textures_B3HW: torch.Tensor, canvas: Canvas) -> np.ndarray:
    """(B, X): what `sample_albedos` gives of the same texels."""
    half_BHW3 = textures_B3HW.permute(0, 2, 3, 1).numpy()[:, :, : SIZE // 2]
    return half_BHW3[:, canvas.covered_HW].reshape(len(half_BHW3), -1)


@pytest.fixture(scope="module")
def mean_X(model: AlbedoModel, canvas: Canvas) -> np.ndarray:
    return on_canvas(model.albedo(torch.zeros(1, 50)), canvas)[0]


@pytest.fixture(scope="module")
def basis_AX(model: AlbedoModel, canvas: Canvas, mean_X: np.ndarray) -> np.ndarray:
    return on_canvas(model.albedo(torch.eye(50)), canvas) - mean_X


@pytest.fixture(scope="module")
def draws_PX(mean_X: np.ndarray, basis_AX: np.ndarray) -> np.ndarray:
    """300 albedos of coefficients ~ N(0, I)."""
    return mean_X + np.random.default_rng(0).normal(size=(300, 50)).astype(np.float32) @ basis_AX


def face_tone(albedos_PX: np.ndarray, canvas: Canvas) -> np.ndarray:
    """ITA (P,) of the skin of cheeks and forehead, which is free of hair."""
    skin = (canvas.fields["cheeks"] > 0.7) | (canvas.fields["forehead"] > 0.8)
    colours_P3 = np.median(albedos_PX.reshape(len(albedos_PX), -1, 3)[:, skin], axis=1)
    return ita(np.clip(colours_P3, 0, 1))


class TestFile:
    def test_belongs_to_the_shipped_head(self, model: AlbedoModel, head: HeadModel) -> None:
        assert model.head_hash == head.hash, "the head has changed: run tools/build_albedo.py"

    def test_small_and_free(self) -> None:
        path = asset("openhead/albedo.safetensors")
        assert path.stat().st_size < 6e6
        with safe_open(str(path), framework="numpy") as file:
            assert file.metadata()["licence"] == "CC0-1.0"

    def test_size(self, model: AlbedoModel) -> None:
        assert (model.num_coefficients, model.height, model.width) == (50, SIZE, SIZE)

    def test_symmetric_on_the_surface(self, model: AlbedoModel, head: HeadModel) -> None:
        """Against the mesh's own mirror map, not against the columns that the file leaves out."""
        texels = texels_of(head, SIZE)
        assert texels.mirrored_HW2 is not None
        codes = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 50))).float()
        for texture_HW3 in model.albedo(codes).permute(0, 2, 3, 1).numpy():
            mirrored_HW3 = cv2.remap(texture_HW3, *cv2.split(texels.mirrored_HW2), cv2.INTER_LINEAR)
            assert np.abs(mirrored_HW3 - texture_HW3)[texels.covered_HW].max() < 2e-3

    def test_every_island_is_painted_and_padded(self, model: AlbedoModel, head: HeadModel) -> None:
        texture_HW3 = model.albedo(torch.zeros(1, 50))[0].permute(1, 2, 0).numpy()
        texels = texels_of(head, SIZE)
        lightness_HW = to_lab(texture_HW3)[..., 0]
        tone = {}
        for part in Part:
            inside_HW = texels.interpolate((head.parts_V == part).astype(np.float32)) > 0.99
            assert inside_HW.sum() > 100
            tone[part] = float(np.median(lightness_HW[inside_HW]))
        assert min(tone[Part.TEETH_UPPER], tone[Part.EYE_L]) > tone[Part.SKIN] > tone[Part.INNER_MOUTH]
        assert tone[Part.EYE_L] == pytest.approx(tone[Part.EYE_R], abs=0.1)
        # Bilinear sampling at an island's edge reads two texels beyond it.
        near_HW = cv2.dilate(texels.covered_HW.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert texture_HW3[near_HW].max(-1).min() > 0.01

    def test_scales_must_be_there(self, tmp_path: Path) -> None:
        with safe_open(str(asset("openhead/albedo.safetensors")), framework="numpy") as file:
            arrays, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
        arrays["albedo_scale"] = arrays["albedo_scale"][:49]
        save_file(arrays, tmp_path / "a.safetensors", metadata)
        with pytest.raises(AssetError, match="lacks the scale"):
            load_albedo(tmp_path / "a.safetensors")


class TestBasis:
    def test_orthogonal_by_falling_variance(self, basis_AX: np.ndarray, weights_X: np.ndarray) -> None:
        gram_AA = (basis_AX * weights_X) @ basis_AX.T
        length_A = np.sqrt(np.diag(gram_AA))
        assert np.abs(gram_AA / np.outer(length_A, length_A) - np.eye(50)).max() < 0.01  # int8 steps
        assert (np.diff(length_A) / length_A[1:] < 1e-3).all()  # of equal ones int8 steps may exchange two

    def test_coefficients_of_other_people_are_standard(
        self, held_out_PX: np.ndarray, mean_X: np.ndarray, basis_AX: np.ndarray, weights_X: np.ndarray
    ) -> None:
        """100 people: the standard error of a mean is 0.1, that of a deviation 0.07 and more with heavy tails."""
        dual_AX = basis_AX * weights_X
        codes_PA = (held_out_PX - mean_X) @ dual_AX.T / (dual_AX * basis_AX).sum(1)
        assert np.abs(codes_PA.mean(0)).max() < 0.4
        assert codes_PA.std(0)[:10] == pytest.approx(np.ones(10), abs=0.25)
        assert codes_PA.std(0).mean() == pytest.approx(1, abs=0.05)

    def test_reconstructs_other_people(
        self,
        held_out_PX: np.ndarray,
        mean_X: np.ndarray,
        basis_AX: np.ndarray,
        weights_X: np.ndarray,
        canvas: Canvas,
    ) -> None:
        """Measured: 0.0020 on the face, half of an 8-bit step; 0.10 for the mean alone."""
        dual_AX = basis_AX * weights_X
        codes_PA = (held_out_PX - mean_X) @ dual_AX.T / (dual_AX * basis_AX).sum(1)
        error_PX = np.abs(mean_X + codes_PA @ basis_AX - held_out_PX)
        face_X = np.repeat(canvas.fields["face"] > 0.5, 3)
        assert error_PX[:, face_X].mean() < 0.0025
        assert error_PX[:, face_X].mean(1).max() < 0.005
        assert error_PX.mean() < 0.003

    def test_draws_are_colours(self, draws_PX: np.ndarray) -> None:
        inside_PX = (draws_PX >= 0) & (draws_PX <= 1)
        assert inside_PX.mean() > 0.95
        assert (inside_PX.mean(1) > 0.95).mean() > 0.9

    def test_draws_span_human_skin(self, draws_PX: np.ndarray, mean_X: np.ndarray, canvas: Canvas) -> None:
        """From dark (below -30) to very light (above 55); the mean is tan, in the middle of the six classes."""
        tones_P = face_tone(draws_PX, canvas)
        assert tones_P.min() < -45 and tones_P.max() > 58
        assert (tones_P < -30).mean() > 0.04 and (tones_P > 55).mean() > 0.01
        assert 10 < face_tone(mean_X[None], canvas)[0] < 28

    def test_equals_a_plain_decomposition(self) -> None:
        """Against numpy's SVD of the weighted sample."""
        random = np.random.default_rng(0)
        sample_PX = (random.normal(size=(30, 12)) @ random.normal(size=(12, 60))).astype(np.float32)
        weights_X = random.uniform(0.1, 1, 60).astype(np.float32)
        mean_X = sample_PX.mean(0)
        _, values, rows = np.linalg.svd((sample_PX - mean_X) * np.sqrt(weights_X), full_matrices=False)
        expected_AX = rows[:5] * values[:5, None] / np.sqrt(30) / np.sqrt(weights_X)
        basis = principal_components(sample_PX.copy(), weights_X, 5)
        signs_A1 = np.sign((basis.basis_AX * expected_AX).sum(1))[:, None]
        np.testing.assert_allclose(basis.basis_AX, signs_A1 * expected_AX, atol=1e-4)
        np.testing.assert_allclose(basis.mean_X, mean_X, atol=1e-6)
        np.testing.assert_allclose(basis.explained_A, values[:5] ** 2 / (values**2).sum(), atol=1e-5)

    def test_reproducible(self, tmp_path: Path, canvas: Canvas, weights_X: np.ndarray, head: HeadModel) -> None:
        for name in ("one", "two"):
            basis = principal_components(sample_albedos(canvas, 12, 3), weights_X, 5)
            write_basis(tmp_path / name, basis, canvas, head.hash)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    def test_file_keeps_the_components(
        self, tmp_path: Path, canvas: Canvas, weights_X: np.ndarray, head: HeadModel
    ) -> None:
        """int8 with a scale each: half a step of error."""
        basis = principal_components(sample_albedos(canvas, 12, 3), weights_X, 5)
        write_basis(tmp_path / "a.safetensors", basis, canvas, head.hash)
        model = load_albedo(tmp_path / "a.safetensors")
        mean_X = on_canvas(model.albedo(torch.zeros(1, 5)), canvas)[0]
        read_AX = on_canvas(model.albedo(torch.eye(5)), canvas) - mean_X
        np.testing.assert_allclose(mean_X, basis.mean_X, atol=1e-6)
        step_A = np.abs(basis.basis_AX).max(1) / 127
        assert (np.abs(read_AX - basis.basis_AX).max(1) < 0.51 * step_A).all()


class TestPeople:
    def test_all_tones_alike(self, held_out_PX: np.ndarray, canvas: Canvas) -> None:
        """A sixth each by the skin's pigments; blood in cheeks and forehead makes faces somewhat darker."""
        counts, _ = np.histogram(face_tone(held_out_PX, canvas), (-90, *TONES[1:-1], 90))
        assert counts[:-1].min() >= 10 and counts[-1] >= 2

    def test_albedos_are_colours(self, held_out_PX: np.ndarray) -> None:
        assert held_out_PX.min() >= 0 and held_out_PX.max() <= 1


class TestSkinColours:
    @pytest.mark.parametrize(
        ("lab", "tolerance"),
        [
            # Mean over 12 parts of the body of 600 Koreans (Han et al. 2006, Skin Research and Technology 12).
            ((61.7, 9.6, 17.1), 2.5),
            # Clusters of nose tips and upper lips of 120 people of four groups (IADR 2009, abstract 120461).
            ((52.5, 17.0, 18.9), 1.5),
            ((37.7, 17.2, 14.7), 1.5),
            ((41.5, 25.5, 13.3), 2.5),
            ((49.4, 22.0, 12.3), 4.5),
            ((26.7, 14.6, 14.7), 4.5),
        ],
    )
    def test_holds_measured_skin(self, lab: tuple[float, float, float], tolerance: float) -> None:
        """Distance (CIE 1976) from published means to the nearest skin of the model."""
        table_N3 = to_lab(optics.skin_colours().srgb_MBP3.reshape(-1, 3))
        assert np.linalg.norm(table_N3 - np.array(lab), axis=1).min() < tolerance

    def test_reflectors_without_colour(self) -> None:
        for reflectance, srgb in ((1.0, 1.0), (0.0, 0.0), (0.2140, 0.5)):
            colour = optics.reflectance_to_srgb(np.full(len(optics.WAVELENGTHS), reflectance))
            assert colour == pytest.approx([srgb] * 3, abs=2e-3)

    def test_matching_functions(self) -> None:
        """CIE 1931, from the published table."""
        table = {450: (0.3362, 0.0380, 1.7721), 550: (0.4334, 0.9950, 0.0087), 600: (1.0622, 0.6310, 0.0008)}
        fit_W3 = optics._matching_functions()
        for wavelength, xyz in table.items():
            assert fit_W3[optics.WAVELENGTHS == wavelength][0] == pytest.approx(xyz, abs=0.04)

    def test_blood_shows_its_bands(self) -> None:
        """Oxygenated blood absorbs at 540 and 580 nm more than between and around."""
        spectrum = optics.reflectance(np.array(0.01), np.array(0.02), np.array(0.0))
        at = {int(w): r for w, r in zip(optics.WAVELENGTHS, spectrum, strict=True)}
        assert at[540] < at[560] > at[580] and at[540] < at[510] and at[580] < at[600]

    def test_more_pigment_less_light(self) -> None:
        melanin = np.geomspace(optics.LEAST_MELANIN, optics.MOST_MELANIN, 9)
        blood = np.geomspace(optics.LEAST_BLOOD, optics.MOST_BLOOD, 9)
        darker_MBW = optics.reflectance(melanin[:, None], blood[None], np.array(0.25))
        assert (np.diff(darker_MBW, axis=0) < 0).all() and (np.diff(darker_MBW, axis=1) < 0).all()

    def test_table_is_fine_enough(self) -> None:
        """Between its entries the table is within half an 8-bit step of the spectra."""
        random = np.random.default_rng(0)
        melanin = np.exp(random.uniform(np.log(optics.LEAST_MELANIN), np.log(optics.MOST_MELANIN), 500))
        blood = np.exp(random.uniform(np.log(0.003), np.log(0.1), 500))
        pheomelanin = random.uniform(0, 1, 500)
        exact_N3 = optics.reflectance_to_srgb(optics.reflectance(melanin, blood, pheomelanin))
        assert np.abs(optics.skin_colours()(melanin, blood, pheomelanin) - exact_N3).max() < 0.002

    def test_typology_angle(self) -> None:
        assert ita(np.array((0.5, 0.5, 0.5), np.float32)) > 80  # grey: L 53, no yellow
        lab_light, lab_dark = np.array((70.0, 8, 14), np.float32), np.array((35.0, 8, 12), np.float32)
        for lab in (lab_light, lab_dark):
            srgb = cv2.cvtColor(lab[None, None], cv2.COLOR_LAB2RGB)[0, 0]
            assert ita(srgb) == pytest.approx(np.degrees(np.arctan((lab[0] - 50) / lab[2])), abs=0.5)
