"""How light a face's skin is, told by its descriptor: the map, its file, and how it is fitted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deca.appearance.albedo_map import skin_tone
from deca.appearance.skin import to_lab, to_srgb
from deca.errors import AssetError, DecaWarning
from deca.head import load_head
from deca.networks.skin_tone import SkinTone, SkinToneCard, load_skin_tone, save_skin_tone
from deca.reconstruct import models
from deca_training.cli import main
from deca_training.closed_form import photo_table
from deca_training.closed_form import skin_tone as fitted
from deca_training.closed_form.skin_tone import read_tones
from deca_training.evaluate import tones

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = 60


def test_a_file_gives_back_its_map_and_people_keep_within_peoples_tones(tmp_path: Path) -> None:
    network = SkinTone(SkinToneCard("nobody", 0.5, "CC0-1.0"))
    with torch.no_grad():
        network.layer.weight.zero_()
        network.layer.weight[0, 0] = 64.0
        network.layer.bias.fill_(50.0)
    save_skin_tone(network, tmp_path / "tone.safetensors")
    again = load_skin_tone(tmp_path / "tone.safetensors")
    assert again.card == network.card and not again.training
    descriptors_ND = torch.zeros(3, 128)
    descriptors_ND[:, 0] = torch.tensor([0.125, 2.0, -2.0])
    assert again(descriptors_ND).tolist() == pytest.approx([58.0, 80.0, 25.0])


def test_a_damaged_file_is_told_and_photos_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "identity").mkdir()
    (tmp_path / models.SKIN_TONE).write_bytes(b"no weights")
    monkeypatch.setattr(models, "assets_dir", lambda: tmp_path)
    monkeypatch.setattr("deca.networks.skin_tone.asset", lambda name: tmp_path / name)
    with pytest.raises(AssetError, match=r"skin_tone\.safetensors"):
        load_skin_tone()
    with pytest.warns(DecaWarning, match="photos have to say it"):
        assert models.builtin_skin_tone() is None


def test_the_face_and_the_photo_both_say_how_light_skin_is() -> None:
    photo_3 = np.array([0.62, 0.46, 0.38])
    alone = to_lab(skin_tone(photo_3))
    for told in (35.0, 65.0):
        both = to_lab(skin_tone(photo_3, told))
        assert both[0] == pytest.approx(alone[0] + 0.7 * (told - alone[0]), abs=0.3)
        np.testing.assert_allclose(both[1:], alone[1:], atol=0.7)


def test_tones_are_fitted_to_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors in one of whose directions skin gets lighter, and a photo without a face."""
    rng = np.random.default_rng(5)
    described_ND = (0.09 * rng.standard_normal((PHOTOS, 128))).astype(np.float32)
    lightness_N = (55 + 100 * described_ND[:, 7]).clip(20, 85)
    names = [f"p{row:03d}/1.jpg" for row in range(PHOTOS)]
    lines = [f"{name},{lightness:.1f}" for name, lightness in zip(names, lightness_N, strict=True)]
    (tmp_path / "tones.csv").write_text("\n".join(("photo,lightness", *lines, "nobody.jpg,50")) + "\n")
    monkeypatch.setattr(photo_table, "read_photo", lambda path: path)
    monkeypatch.setattr(photo_table, "find_faces", lambda path, max_faces: [] if path.name == "nobody.jpg" else [path])
    whose = {tmp_path / name: row for name, row in zip(names, described_ND, strict=True)}
    monkeypatch.setattr(fitted, "describe", lambda path, faces: [whose[face] for face in faces])
    out = tmp_path / "out.safetensors"
    assert main(["skin-tone", "--portraits", str(tmp_path), "--out", str(out)]) == 0
    network = load_skin_tone(out)
    assert network.card.data.startswith(f"{PHOTOS} portraits") and network.card.correlation > 0.3
    found_N = network(torch.from_numpy(described_ND)).detach().numpy()
    assert np.corrcoef(found_N, lightness_N)[0, 1] > 0.9
    weight_D = network.layer.weight[0].detach().numpy()
    assert np.abs(weight_D).argmax() == 7 and weight_D[7] > 0

    (tmp_path / "tones.csv").write_text("photo,lightness\n" + lines[0] + "\n")
    with pytest.raises(AssetError, match="1 photos"):
        fitted.fit_skin_tone(tmp_path, tmp_path / "tones.csv", out)


@pytest.mark.parametrize("text", ["photo,lightness\na.jpg,200\n", "photo,lightness\na.jpg,dark\n", "file,tone\na,50\n"])
def test_a_file_of_tones_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "tones.csv").write_text(text)
    with pytest.raises(AssetError, match=r"photo,lightness"):
        read_tones(tmp_path / "tones.csv")


def test_the_bundled_map_is_what_its_table_gives() -> None:
    tones = read_tones(ROOT / "training" / "portrait_tones.csv")
    card = load_skin_tone().card
    assert card.data.startswith(f"{len(tones)} portraits") and card.correlation > 0.85


def test_portraits_tell_what_the_face_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two photos, whose albedo a stand-in of the product's way gives."""
    head = load_head()
    lightness = {"a.jpg": (66.0, 50.0), "b.jpg": (45.0, 60.0)}
    product = models.Models(head, skin_tone=load_skin_tone())

    def reconstruct(photo: str, *, models: models.Models, **_: object) -> list[SimpleNamespace]:
        told = lightness[photo][0 if models.skin_tone is not None else 1]
        albedo_NN3 = np.tile(255 * to_srgb(np.array([told, 12, 18], np.float32)), (512, 512, 1)).astype(np.uint8)
        skin_map = SimpleNamespace(share=lambda *kinds, size: np.ones((size, size), np.float32))
        return [SimpleNamespace(texture=SimpleNamespace(albedo_NN3=albedo_NN3), skin_map=skin_map, head=head)]

    monkeypatch.setattr(tones, "read_photo", lambda path: path.name)
    monkeypatch.setattr(tones, "reconstruct", reconstruct)
    table = tones.evaluate_tones(product, tmp_path, {"a.jpg": 63.0, "b.jpg": 45.0})
    rows = {(row["way"], row["skin"]): row for row in table.rows}
    assert rows["by face and photo", "light"]["bias"] == pytest.approx(3.0, abs=0.5)
    assert rows["by face and photo", "dark"]["rms"] == pytest.approx(0.0, abs=0.5)
    assert rows["by the photo alone", "dark"]["bias"] == pytest.approx(15.0, abs=0.5)
    assert rows["by the photo alone", "all"]["rms"] == pytest.approx(np.sqrt((13**2 + 15**2) / 2), abs=0.5)
