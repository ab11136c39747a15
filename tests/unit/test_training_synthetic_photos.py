"""Photos of synthetic people: their truth fits their pixels, files give back what was saved."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from deca.errors import AssetError, OptionError
from deca.render.camera import project
from deca.render.lighting import sh_shading
from deca.vision.landmarks import IBUG_68
from deca_training.cli import main
from deca_training.data.synthetic.expressions import random_expression
from deca_training.data.synthetic.generate import AGES as AGES_OF_PEOPLE
from deca_training.data.synthetic.generate import Generator, generate
from deca_training.data.synthetic.light import Light, nearest_harmonics
from deca_training.data.synthetic.sheet import AGES, EXPRESSIONS, contact_sheet
from deca_training.data.synthetic.strain import reader_of
from deca_training.data.synthetic.subjects import SyntheticSubject, SyntheticSubjects
from tests.head_with_traits import trait_codes, with_traits

SEED, IMAGES = 7, 4


@cache
def generator() -> Generator:
    return Generator()


@cache
def subject() -> tuple[SyntheticSubject, list]:
    return generator().subject(SEED, IMAGES)


def test_shapes_and_ranges() -> None:
    one, jpegs = subject()
    assert len(one) == IMAGES == len(jpegs)
    assert one.image_KHW3.shape == (IMAGES, 224, 224, 3) and one.image_KHW3.dtype == np.uint8
    assert one.mask_KHW.shape == (IMAGES, 224, 224) and set(np.unique(one.mask_KHW)) == {0, 255}
    assert 18 <= one.age <= 80 and one.shape_S.shape == (300,) and one.albedo_A.shape == (50,)
    assert one.displacement_KHW.shape == (IMAGES, 256, 256) and np.abs(one.displacement_KHW).max() < 5e-3
    assert one.image_KHW3.std() > 20 and len({image.tobytes() for image in one.image_KHW3}) == IMAGES
    # Training shows crops of 1.25 to 1.6 times the landmarks' box, times 1.1.
    spans_K = np.ptp(one.landmarks478_KL2[:, list(IBUG_68)], axis=1).mean(1)
    assert (spans_K > 2 / 1.1 / 1.6 - 1e-4).all() and (spans_K < 2 / 1.1 / 1.25 + 1e-4).all()


def test_landmarks_are_those_of_the_codes() -> None:
    one, _ = subject()
    layer = generator().layer
    shape_KS = torch.from_numpy(one.shape_S).repeat(IMAGES, 1)
    pose_KJ3 = torch.from_numpy(one.pose_KJ3)
    verts_KV3 = layer(shape_KS, torch.from_numpy(one.expression_KE), pose_KJ3)
    camera_K3 = torch.from_numpy(one.camera_K3)
    for marks_KL3, stored in (
        (layer.landmarks_478(verts_KV3), one.landmarks478_KL2),
        (layer.landmarks_68(verts_KV3, pose_KJ3), one.landmarks68_KL2),
    ):
        np.testing.assert_allclose(project(marks_KL3, camera_K3)[..., :2].numpy(), stored, atol=1e-4)


def test_masks_lie_on_faces() -> None:
    one, _ = subject()
    for mask_HW, marks_L2 in zip(one.mask_KHW, one.landmarks68_KL2, strict=True):
        rows, columns = np.nonzero(mask_HW)
        assert 0.08 < mask_HW.mean() / 255 < 0.6
        low, high = (marks_L2.min(0) + 1) * 112, (marks_L2.max(0) + 1) * 112
        inside = (columns > low[0] - 12) & (columns < high[0] + 12) & (rows < high[1] + 20)
        assert inside.mean() > 0.97
        # Eyes are not skin.
        eye = np.rint((marks_L2[36:42].mean(0) + 1) * 112 - 0.5).astype(int)
        assert mask_HW[eye[1], eye[0]] == 0


def test_light_explains_the_photos() -> None:
    # Oracle: the product's own renderer with the stored codes, against the pixels; noise, highlights, blotches remain.
    one, _ = subject()
    made = generator()
    verts_KV3 = made.layer(
        torch.from_numpy(one.shape_S).repeat(IMAGES, 1),
        torch.from_numpy(one.expression_KE),
        torch.from_numpy(one.pose_KJ3),
    )
    from deca.render.renderer import Renderer

    surface = Renderer.of_head(made.head)(verts_KV3, project(verts_KV3, torch.from_numpy(one.camera_K3)))
    albedo_13HW = made.albedo(torch.from_numpy(one.albedo_A)[None])
    rendered_KHW3 = surface.shade(albedo_13HW, torch.from_numpy(one.light_K93)).image_B3HW.permute(0, 2, 3, 1).numpy()
    error = []
    for photo, rendered, mask in zip(one.image_KHW3 / 255, rendered_KHW3, one.mask_KHW > 0, strict=True):
        error.append(np.abs(photo - rendered.clip(0, 1))[mask].mean())
        if photo.std(2).max() > 0.02:
            assert np.corrcoef(photo.mean(2)[mask], rendered.mean(2)[mask])[0, 1] > 0.5
    assert np.median(error) < 0.1


def test_harmonics_come_back() -> None:
    normals_3N = torch.nn.functional.normalize(torch.randn(3, 5000, generator=torch.Generator().manual_seed(0)), dim=0)
    light_193 = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(1))
    found_93 = nearest_harmonics(normals_3N, sh_shading(normals_3N[None], light_193)[0])
    np.testing.assert_allclose(found_93, light_193[0].numpy(), atol=0.02)
    assert (nearest_harmonics(torch.zeros(3, 0), torch.zeros(3, 0)) == 0).all()  # a face that is not on the picture


def test_lamps_light_the_side_that_faces_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        light = Light.random(rng)
        key_3 = torch.from_numpy(light.towards_N3[0])
        assert key_3[2] > 0.2 and key_3.norm() == pytest.approx(1, abs=1e-5)
        bright, dark = (light.shading(direction[:, None])[0].mean() for direction in (key_3, -key_3))
        assert bright > 1.5 * dark > 0


def test_the_same_seed_gives_the_same_photos() -> None:
    one, jpegs = subject()
    again, jpegs_again = generator().subject(SEED, 2)
    assert [jpeg.tobytes() for jpeg in jpegs[:2]] == [jpeg.tobytes() for jpeg in jpegs_again]
    np.testing.assert_array_equal(one.activation_KC[:2], again.activation_KC)


def test_expressions_are_varied() -> None:
    names = reader_of(generator().head).names
    rng = np.random.default_rng(0)
    samples = [random_expression(rng, names) for _ in range(600)]
    weights_N52 = np.array([[sample[name] for name in names] for sample in samples])
    assert 0 <= weights_N52.min() and weights_N52.max() <= 1
    assert weights_N52[:, names.index("jawOpen")].max() <= 0.7
    acting = [name for name in names if not name.startswith(("eyeLook", "eyeBlink"))]
    strongest_N = weights_N52[:, [names.index(name) for name in acting]].max(1)
    assert 0.04 < (strongest_N == 0).mean() < 0.13 and (strongest_N > 0.7).mean() > 0.4
    # What goes together does, and one-sided faces are among them.
    smile, squint = (weights_N52[:, names.index(name)] for name in ("mouthSmileLeft", "cheekSquintLeft"))
    assert np.corrcoef(smile, squint)[0, 1] > 0.5
    other = weights_N52[:, names.index("mouthSmileRight")]
    assert ((smile > 0.5) & (other < 0.5 * smile)).any()


def test_files_give_back_subjects(tmp_path: Path) -> None:
    one, jpegs = subject()
    one.save(tmp_path, jpegs)
    read = SyntheticSubjects(tmp_path)[0]
    for name, value in vars(one).items():
        if name in ("static_HW", "wrinkles_CHW"):
            np.testing.assert_allclose(getattr(read, name), value, rtol=1e-3, atol=1e-8, err_msg=name)
        elif name == "age":
            assert read.age == pytest.approx(one.age, abs=1e-4)
        else:
            np.testing.assert_array_equal(getattr(read, name), value, err_msg=name)
    np.testing.assert_allclose(read.displacement_KHW, one.displacement_KHW, atol=2e-6)
    np.testing.assert_array_equal(read.neutral_displacement_HW, read.displacement_of(read.neutral_C[None])[0])
    assert len(SyntheticSubjects(tmp_path)[:]) == 1


def test_offsets_outside_the_span_are_kept(tmp_path: Path) -> None:
    from dataclasses import replace

    one, jpegs = subject()
    offset_V3 = np.full_like(one.offset_V3, 1e-3)
    replace(one, offset_V3=offset_V3).save(tmp_path, jpegs)
    np.testing.assert_array_equal(SyntheticSubjects(tmp_path)[0].offset_V3, offset_V3)


def test_faces_outside_the_span_and_perspective() -> None:
    made = Generator(outside=2.0, perspective=1.0)
    one, _ = made.subject(SEED, 2)
    face_V = (made.head.template_V3[:, 2] > 0.03) & (made.head.parts_V == 0)
    assert np.sqrt((one.offset_V3[face_V] ** 2).sum(1).mean()) == pytest.approx(2e-3, rel=0.01)
    assert np.abs(one.offset_V3[made.head.parts_V != 0]).max() == 0
    assert max(np.abs(made.offset(np.random.default_rng(seed))).max() for seed in range(12)) < 0.012
    # The best shape coefficients leave most of it.
    dirs_XS = made.head.shape_dirs_V3S[face_V][..., :100].reshape(-1, 100)
    offset_X = one.offset_V3[face_V].ravel()
    left_X = offset_X - dirs_XS @ np.linalg.lstsq(dirs_XS, offset_X, rcond=None)[0]
    assert left_X.std() > 0.7 * offset_X.std()
    # No weak-perspective camera projects to the landmarks exactly; the stored one is not far from them.
    codes = (one.shape_S, one.expression_KE[0], one.pose_KJ3[0], one.offset_V3)
    marks_1L3 = made.layer.landmarks_478(made.verts(*codes)[None])
    error_L2 = project(marks_1L3, torch.from_numpy(one.camera_K3[:1]))[0, :, :2].numpy() - one.landmarks478_KL2[0]
    distance = np.linalg.norm(error_L2, axis=1).mean()
    assert 1e-3 < distance < 0.06
    for change in ((1.02, 0, 0), (0.98, 0, 0), (1, 0.001, 0), (1, 0, -0.001)):
        camera_3 = one.camera_K3[0] * (change[0], 1, 1) + np.array((0, *change[1:]))
        moved_L2 = project(marks_1L3, torch.from_numpy(camera_3[None].astype(np.float32)))[0, :, :2].numpy()
        assert ((moved_L2 - one.landmarks478_KL2[0]) ** 2).sum() > (error_L2**2).sum()


def test_the_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["synthetic", str(tmp_path / "people"), "--images", "1", "--seed", "5", "--subjects"]
    assert main([*arguments, "1"]) == 0
    first = tmp_path / "people" / "00000005.npz"
    stamp, data = first.stat().st_mtime_ns, first.read_bytes()
    assert main([*arguments, "2"]) == 0
    assert first.stat().st_mtime_ns == stamp and first.read_bytes() == data
    people = SyntheticSubjects(tmp_path / "people")
    assert [person.name for person in people] == ["00000005", "00000006"]


def test_shapes_follow_age_and_sex(tmp_path: Path) -> None:
    made = Generator()
    made.head = with_traits(made.head)
    age_S, sex_S = trait_codes().astype(np.float64).T
    # One person at two ages: only what is common to people changes.
    young, old = made.subject(SEED, 1, age=20), made.subject(SEED, 1, age=71)
    np.testing.assert_allclose(old[0].shape_S - young[0].shape_S, 3 * age_S, atol=1e-5)
    young[0].save(tmp_path, young[1])
    assert SyntheticSubjects(tmp_path)[0].sex == young[0].sex == old[0].sex in (-1, 1)
    # Many: N(0, I) but for the ages, which are spread a little wider than people's, and regression on them gives C.
    rng, count = np.random.default_rng(3), 6000
    ages_N = rng.uniform(*AGES_OF_PEOPLE, count)
    sexes_N = np.array([made.sex(rng) for _ in range(count)])
    shapes_NS = np.stack([made.shape(age, sex, rng) for age, sex in zip(ages_N, sexes_N, strict=True)])
    known_NT = np.stack(((ages_N - 45) / 17, sexes_N), 1)
    slopes_TS = np.linalg.lstsq(np.column_stack((known_NT, np.ones(count))), shapes_NS, rcond=None)[0][:2]
    assert np.abs(slopes_TS - (age_S, sex_S)).max() < 5 / np.sqrt(count)
    standard_NS = shapes_NS - np.outer(known_NT[:, 0], age_S) + np.outer(rng.standard_normal(count), age_S)
    assert np.abs(standard_NS.mean(0)).max() < 5 / np.sqrt(count)
    assert np.abs(np.cov(standard_NS.T) - np.eye(300)).max() < 8 / np.sqrt(count)


def test_the_sheet_shows_ages_and_expressions(tmp_path: Path) -> None:
    sheet_HW = contact_sheet(generator(), seed=1, size=96)
    assert sheet_HW.shape == (len(AGES) * 2 * 96, len(EXPRESSIONS) * 96)
    maps = [sheet_HW[96 * row : 96 * (row + 1)].reshape(96, -1, 96).astype(float) for row in (1, 3, 5)]
    restless = [np.abs(row[:, 1:] - row[:, :1]).mean() for row in maps]
    assert min(restless) > 0.3  # expressions change the maps
    assert maps[2][:, 0].std() > 1.5 * maps[0][:, 0].std()  # and years do


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no synthetic subjects"):
        SyntheticSubjects(tmp_path)
    (tmp_path / "00000001.npz").write_bytes(b"no zip")
    with pytest.raises(AssetError):
        SyntheticSubjects(tmp_path)[0]
    np.savez(tmp_path / "00000001.npz", format=np.int64(99))
    with pytest.raises(AssetError, match="no synthetic subject of format"):
        SyntheticSubjects(tmp_path)[0]
    with pytest.raises(OptionError):
        generate(tmp_path, 0, 1)
