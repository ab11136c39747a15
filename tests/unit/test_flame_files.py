"""FLAME's files, made up by `tests.flame_files`, converted to a head model file and evaluated."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_head import posed_f64

from deca.cli import main
from deca.errors import AssetError, OutputError
from deca.files import read_safetensors, safetensors_bytes
from deca.head import HeadModel, Part, load_head
from deca.head.flame import convert_flame, texture_coordinates
from deca.head.layer import HeadLayer
from deca.reconstruct.fit import fit_landmarks
from deca.render.uv import texels_of
from tests import flame_files
from tests.flame_files import EYES, HEAD_VERTS, NUM_VERTS, FlameFiles, make_flame_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FlameFiles:
    return make_flame_files(tmp_path_factory.mktemp("flame") / "Ünser FLAME")


@pytest.fixture(scope="module")
def head(files: FlameFiles, tmp_path_factory: pytest.TempPathFactory) -> HeadModel:
    out = tmp_path_factory.mktemp("heads") / "new folder"
    path = convert_flame(files.model, files.landmarks, files.template, out, maps=files.maps, mediapipe=files.mediapipe)
    assert path == out / "flame_2020.safetensors"
    assert [file.name for file in out.iterdir()] == [path.name]
    return load_head(str(path))


def test_sizes_and_name(head: HeadModel) -> None:
    assert head.name == "FLAME 2020"
    assert "licence" in head.licence
    assert head.num_verts == NUM_VERTS == 5023
    assert head.shape_dirs_V3S.shape[2] == 300 and head.expression_dirs_V3E.shape[2] == 100
    assert head.parents == (-1, 0, 1, 1, 1)
    assert head.arkit_map_K52 is None and head.mirror_V is None


@pytest.mark.parametrize("seed", range(3))
def test_vertices_equal_flame_in_float64(head: HeadModel, files: FlameFiles, seed: int) -> None:
    """Against FLAME's equations on the arrays that went into the pickle, not on those of the converted file."""
    arrays = files.arrays
    source = SimpleNamespace(
        template_V3=arrays["v_template"],
        shape_dirs_V3S=arrays["shapedirs"][:, :, :300],
        expression_dirs_V3E=arrays["shapedirs"][:, :, 300:400],
        pose_dirs_V3P=arrays["posedirs"],
        joint_regressor_JV=arrays["J_regressor"],
        parents=(-1, 0, 1, 1, 1),
        skin_weights_VJ=arrays["weights"],
        joints_follow_expression=True,  # DECA's release
    )
    rng = np.random.default_rng(seed)
    shape, expression, pose = rng.normal(size=100), rng.normal(size=50), rng.normal(scale=0.4, size=(5, 3))
    codes = [torch.from_numpy(code.astype(np.float32))[None] for code in (shape, expression, pose)]
    verts = HeadLayer(head)(*codes)[0].numpy()
    assert np.abs(verts - posed_f64(source, shape, expression, pose)).max() < 1e-6


def test_joints_of_files_from_before_the_rule_was_written_down(
    head: HeadModel, files: FlameFiles, tmp_path: Path
) -> None:
    """What was converted from FLAME follows DECA's release, whatever its name; what was not does not."""
    assert head.joints_follow_expression and not load_head().joints_follow_expression
    path = convert_flame(files.model, files.landmarks, files.template, tmp_path, name="My head")
    arrays, metadata = read_safetensors(path, "head model", "")
    assert metadata.pop("joints_follow_expression") == "true"
    for sources, follows in ((metadata["sources"], True), (None, False)):
        old = {key: value for key, value in metadata.items() if key != "sources" or sources is not None}
        path.write_bytes(safetensors_bytes(arrays, old))
        assert HeadModel.load(path).joints_follow_expression is follows
    path.write_bytes(safetensors_bytes(arrays, {**metadata, "joints_follow_expression": "false"}))
    assert not HeadModel.load(path).joints_follow_expression


def points(files: FlameFiles, verts_V3: np.ndarray, key: str, row: int | None = None) -> np.ndarray:
    faces, bary = (files.embedding[f"{key}_lmk_{part}"] for part in ("faces_idx", "bary_coords"))
    faces, bary = (faces, bary) if row is None else (faces[row], bary[row])
    corners = files.arrays["f"].astype(np.int64)[faces.reshape(-1)]
    return (verts_V3[corners] * bary.reshape(-1, 3, 1)).sum(1)


ROW_OF_YAW = {0: 0, 0.4: 0, 0.6: 1, 12.4: 12, 13.6: 14, 39: 39, 75: 39}
ROW_OF_YAW |= {-0.4: 0, -0.6: 40, -12.4: 51, -13.6: 53, -39: 78, -39.4: 78, -41: 78, -75: 78}


@pytest.mark.parametrize(("yaw", "row"), ROW_OF_YAW.items())
def test_landmarks_are_decas(head: HeadModel, files: FlameFiles, yaw: float, row: int) -> None:
    """2D: 17 of the contour's row for the yaw of root and neck together, then the 51 static; 3D: the 68 full ones."""
    pose = torch.zeros(1, 5, 3, dtype=torch.float64)
    pose[0, 0, 1] = np.radians(yaw / 2)
    pose[0, 1, 1] = np.radians(yaw) - np.radians(yaw / 2)
    layer = HeadLayer(head, 5, 5).double()
    verts = layer(torch.zeros(1, 5, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64), pose)
    ours = layer.landmarks_68(verts, pose)[0].numpy()
    expected = np.concatenate(
        (points(files, verts[0].numpy(), "dynamic", row), points(files, verts[0].numpy(), "static"))
    )
    assert np.abs(ours - expected).max() < 1e-6
    assert np.abs(layer.landmarks_68_fixed(verts)[0].numpy() - points(files, verts[0].numpy(), "full")).max() < 1e-6
    assert np.abs(expected[17:] - points(files, verts[0].numpy(), "full")[17:]).max() > 1e-3  # the two sets do differ


def test_mediapipe_landmarks(head: HeadModel, files: FlameFiles) -> None:
    embedding = np.load(files.mediapipe)
    assert head.landmarks_478 is not None
    present = np.flatnonzero(head.landmarks_478.faces >= 0)
    assert present.tolist() == embedding["landmark_indices"].tolist()
    assert head.landmarks_478.faces[present].tolist() == embedding["lmk_face_idx"].tolist()
    np.testing.assert_allclose(head.landmarks_478.bary[present], embedding["lmk_b_coords"], atol=1e-7)


def test_eyeballs_are_found(head: HeadModel) -> None:
    assert (head.parts_V[:HEAD_VERTS] == Part.SKIN).all()
    assert (head.parts_V[EYES[0]] == Part.EYE_L).all() and (head.parts_V[EYES[1]] == Part.EYE_R).all()


def test_texture_coordinates_belong_to_their_corners(head: HeadModel, files: FlameFiles) -> None:
    """The template lists its triangles in another order and from other corners than the model."""
    uv_T2, uv_faces_F3 = flame_files.uv_arrays(files.arrays)
    assert np.abs(head.uv_T2[head.uv_faces_F3] - uv_T2[uv_faces_F3]).max() < 1e-6
    heights_HW = texels_of(head, 64).interpolate(head.template_V3[:, 1], fill=np.nan)
    column = heights_HW[8:36, round(0.32 * 64)]
    assert np.isfinite(column).all() and (np.diff(column) < 0).all()  # up in the picture is up on the head


def test_texture_coordinates_of_quads(tmp_path: Path) -> None:
    lines = [*["v 0 0 0"] * 4, *(f"vt {u} {v}" for u, v in ((0.5, 0.5), (0, 0), (1, 0), (1, 1), (0, 1)))]
    path = tmp_path / "quad.obj"
    path.write_text("\n".join([*lines, "f 1/2/1 2/3/1 3/4/1 4/5/1"]))
    uv_T2, uv_faces_F3 = texture_coordinates(path, np.array([[2, 3, 1], [0, 1, 3]]), 4)
    assert uv_faces_F3.tolist() == [[3, 4, 2], [1, 2, 4]]
    assert uv_T2[uv_faces_F3[0]].tolist() == [[1, 1], [0, 1], [1, 0]]


def test_maps(head: HeadModel, files: FlameFiles) -> None:
    mask = np.asarray(Image.open(files.maps / "uv_face_eye_mask.png"))[..., 0]
    assert set(head.masks) == {"face", "face_no_eyes"}
    np.testing.assert_array_equal(head.masks["face_no_eyes"], mask)
    displacement = np.load(files.maps / "fixed_displacement_256.npy")
    assert head.fixed_displacement_NN is not None and head.mean_texture_NN3 is not None
    assert np.abs(head.fixed_displacement_NN - displacement).max() < 1e-9
    assert np.abs(head.mean_texture_NN3.astype(int) - (190, 140, 120)).max() <= 2  # red first


def test_same_files_give_the_same_bytes(files: FlameFiles, tmp_path: Path) -> None:
    """Codes remember the hash of their head model: converting again must not disown them."""
    first, second = (convert_flame(files.model, files.landmarks, files.template, tmp_path / str(i)) for i in range(2))
    assert first.read_bytes() == second.read_bytes()
    bare = HeadModel.load(first)
    assert bare.masks == {} and bare.fixed_displacement_NN is None and bare.landmarks_478 is None


def test_command(files: FlameFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "flame2023.pkl"
    shutil.copy(files.model, model)
    command = ["convert-flame", str(model), "--landmarks", str(files.landmarks), "--template", str(files.template)]
    assert main([*command, "--maps", str(files.maps), "--out", str(tmp_path / "out")]) == 0
    written = Path(json.loads(capsys.readouterr().out)["head"])
    assert written == tmp_path / "out" / "flame_2023.safetensors"
    assert HeadModel.load(written).name == "FLAME 2023"
    model.write_bytes(b"\x80\x02" + flame_files.call("os", "system", "true") + b".")
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "os.system" in capsys.readouterr().err


class TestBadFiles:
    """Each is named with what is wrong with it, and nothing is written."""

    def convert(self, files: FlameFiles, out: Path, **other: Path) -> None:
        paths = {"model_pkl": files.model, "landmarks_npy": files.landmarks, "template_obj": files.template} | other
        try:
            convert_flame(**paths, out_dir=out)
        finally:
            assert not list(out.rglob("*.safetensors*"))

    def small_model(self, path: Path, **changed: object) -> Path:
        """A model of eight vertices with some entries changed, or left out where None."""
        sound = {
            "v_template": np.zeros((8, 3)),
            "f": np.zeros((9, 3), np.uint32),
            "shapedirs": np.zeros((8, 3, 400)),
            "posedirs": np.zeros((8, 3, 36)),
            "J_regressor": np.zeros((5, 8)),
            "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32),
            "weights": np.zeros((8, 5)),
        }
        content = {key: value for key, value in {**sound, **changed}.items() if value is not None}
        path.write_bytes(flame_files.python2_pickle(content))
        return path

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({}, r"head_template\.obj has 5023 vertices, the model has 8"),
            ({"shapedirs": None}, "holds no shapedirs"),
            ({"shapedirs": np.zeros((8, 3, 10))}, r"shapedirs .* \(8, 3, 10\) where \(8, 3, 400\)"),
            ({"weights": np.zeros((8, 24))}, r"weights .* \(8, 24\)"),
            ({"v_template": np.full((8, 3), np.nan)}, "not finite"),
            ({"f": np.full((9, 3), 8, np.uint32)}, "points at 8 where there are 8"),
            ({"kintree_table": np.zeros((2, 5), np.uint32)}, "not FLAME"),
            ({"posedirs": "text"}, "not an array of numbers"),
            ({"J_regressor": {"a": 1}}, "not an array of numbers"),
        ],
    )
    def test_model(self, files: FlameFiles, tmp_path: Path, arrays: dict, message: str) -> None:
        with pytest.raises(AssetError, match=message):
            self.convert(files, tmp_path, model_pkl=self.small_model(tmp_path / "small.pkl", **arrays))

    def test_files_in_each_others_place(self, files: FlameFiles, tmp_path: Path) -> None:
        with pytest.raises(AssetError, match="could not be read"):
            self.convert(files, tmp_path, model_pkl=files.template)
        with pytest.raises(AssetError, match="could not be read"):
            self.convert(files, tmp_path, landmarks_npy=files.model)
        with pytest.raises(AssetError, match="has 0 vertices"):
            self.convert(files, tmp_path, template_obj=files.mediapipe)
        with pytest.raises(AssetError, match="holds none of"):
            self.convert(files, tmp_path, maps=tmp_path)
        with pytest.raises(AssetError, match="not a file of NumPy arrays"):
            self.convert(files, tmp_path, mediapipe=files.template)
        with pytest.raises(AssetError, match="holds a list"):
            path = tmp_path / "list.pkl"
            path.write_bytes(flame_files.python2_pickle([1]))
            self.convert(files, tmp_path, model_pkl=path)

    @pytest.mark.parametrize("argument", ["model_pkl", "landmarks_npy", "template_obj", "mediapipe"])
    def test_missing(self, files: FlameFiles, tmp_path: Path, argument: str) -> None:
        with pytest.raises(AssetError, match=r"none\.file"):
            self.convert(files, tmp_path, **{argument: tmp_path / "none.file"})

    def test_landmarks_of_another_mesh(self, files: FlameFiles, tmp_path: Path) -> None:
        path = tmp_path / "embedding.npy"
        flame_files.make_landmark_embedding(
            path, files.embedding | {"static_lmk_faces_idx": np.full(51, len(files.arrays["f"]))}
        )
        with pytest.raises(AssetError, match="static_lmk_faces_idx"):
            self.convert(files, tmp_path, landmarks_npy=path)

    def test_template_of_another_mesh(self, files: FlameFiles, tmp_path: Path) -> None:
        path = tmp_path / "other.obj"
        path.write_text("v 0 0 0\n" * NUM_VERTS + "vt 0 0\n" * 3 + "f 1/1 2/2 3/3\n")
        with pytest.raises(AssetError, match="no texture coordinates"):
            self.convert(files, tmp_path, template_obj=path)
        path.write_text("v 0 0 0\n" * NUM_VERTS + "f 1 2 3\n")
        with pytest.raises(AssetError, match="not an OBJ file with texture coordinates"):
            self.convert(files, tmp_path, template_obj=path)

    def test_damaged_map(self, files: FlameFiles, tmp_path: Path) -> None:
        (tmp_path / "uv_face_mask.png").write_bytes((files.maps / "uv_face_mask.png").read_bytes()[:60])
        with pytest.raises(AssetError, match="uv_face_mask"):
            self.convert(files, tmp_path, maps=tmp_path)

    def test_output_that_cannot_be_written(self, files: FlameFiles, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match="could not be written"):
            self.convert(files, tmp_path / "file" / "out")


def test_fit_on_the_landmarks_that_are_placed(head: HeadModel) -> None:
    """A head is found again from FLAME's 105 MediaPipe landmarks; where the others are seen changes nothing."""
    assert head.landmarks_478 is not None
    placed = head.landmarks_478.placed
    rng = np.random.default_rng(0)
    layer, pose = HeadLayer(head), torch.zeros(2, 5, 3)
    pose[:, 0] = torch.tensor([[0.1, -0.2, 0.05], [-0.1, 0.25, 0.1]])
    shape = torch.from_numpy(rng.normal(scale=0.5, size=(2, 100)).astype(np.float32))
    true_BL2 = layer.landmarks_478(layer(shape, torch.zeros(2, 50), pose)).numpy()[..., :2] * (1500, -1500) + (300, 260)
    fits = []
    for _ in range(2):
        seen_BL2 = true_BL2.copy()
        seen_BL2[:, ~placed] = rng.uniform(0, 600, (2, (~placed).sum(), 2))
        fits.append(fit_landmarks(seen_BL2, (600, 520), head))
    fit = fits[0]
    np.testing.assert_array_equal(fit.shape_BS, fits[1].shape_BS)
    np.testing.assert_array_equal(fit.pose_B53, fits[1].pose_B53)
    codes = [torch.from_numpy(np.asarray(code, np.float32)) for code in (fit.shape_BS, fit.expression_BE, fit.pose_B53)]
    found_BL3 = layer.landmarks_478(layer(*codes)).numpy()
    found_BL2 = found_BL3[..., :2] * (fit.scale_B[:, None, None] * (1, -1)) + fit.offset_B2[:, None]
    assert np.linalg.norm(found_BL2 - true_BL2, axis=2)[:, placed].mean(1).max() < 1.0  # pixels on a head of 330


def test_fit_without_mediapipe_landmarks_says_what_to_do(head: HeadModel) -> None:
    bare = replace(head, landmarks_478=None)
    with pytest.raises(AssetError, match=r"--mediapipe mediapipe_landmark_embedding\.npz"):
        fit_landmarks(np.zeros((1, 478, 2)), (600, 520), bare)
