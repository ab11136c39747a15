"""The preferences: models that a backend checks and converts, checkpoints, the cache, what imports take from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blender_case as case
import bpy
import numpy as np

from deca_blender import backend, folders, install, models, preferences
from deca_blender.client import InstallError, InstallState, LaunchSettings, ManagedEnvironment, RequestFailed
from deca_blender.operators.import_face import DECA_OT_import_face
from deca_blender.operators.install_backend import DECA_OT_install_backend
from deca_blender.protocol.messages import (
    ConvertHead,
    ConvertHeadReply,
    DecodeWrinkles,
    DescribeHead,
    DescribeWeights,
    ReconstructReply,
    WeightsReply,
    WrinklesReply,
)
from deca_blender.scene import live
from deca_blender.scene.head import model_reference
from deca_blender.ui import preferences as preferences_page
from deca_blender.ui import texts
from deca_blender.ui.installation import draw_installation

HEAD = case.head_reply()
ASKED: list[Any] = []


class Session:
    """Knows the bundled head and `flame.safetensors`; weights are good where they are named good."""

    def submit(self, request: Any) -> case.FakeJob:
        ASKED.append(request)
        return case.FakeJob(self.answer(request))

    def request(self, request: Any, timeout: float = 0) -> object:
        return self.answer(request)

    def answer(self, request: Any) -> object:
        if isinstance(request, ConvertHead):
            return ConvertHeadReply(str(Path(request.out or Path(request.path).parent) / "flame.safetensors"))
        if isinstance(request, DescribeHead):
            known = request.head == "openhead" or request.head.endswith("flame.safetensors")
            return HEAD if known else RequestFailed("AssetError", f"{request.head} is damaged.", "Convert it again.")
        if isinstance(request, DescribeWeights):
            good = "good" in request.weights or not request.weights
            refused = RequestFailed("AssetError", "They belong to the head model FLAME 2020.", "Choose others.")
            return WeightsReply("0123", HEAD.name, HEAD.hash, 50, 128, "CC0") if good else refused
        if isinstance(request, DecodeWrinkles):
            return WrinklesReply(np.zeros((256, 256), np.float32))
        detail = {"detail": np.zeros(128, np.float32), "weights_hash": "0123"} if "wrinkled" in request.path else {}
        face = case.face_reply(HEAD, name=Path(request.path).stem, photo=request.path, **detail)
        return ReconstructReply((face,), ("The built-in weights are damaged.",) if "damaged" in request.path else ())


backend.session = Session  # type: ignore[assignment]


def chosen() -> Any:
    """The add-on's preferences, as where it is enabled; with their defaults, and without built-in weights."""
    addon = bpy.context.preferences.addons.get(folders.ADDON)
    if addon is None:
        addon = bpy.context.preferences.addons.new()
        addon.module = folders.ADDON
    for name in ("head", "weights", "checkpoints", "cache_mib", "command"):
        addon.preferences.property_unset(name)
    preferences.BUILTIN_FILE = Path("/nowhere/openhead.safetensors")
    models.forget()
    ASKED.clear()
    return addon.preferences


def test_nothing_is_asked_before_the_user_wants_it() -> None:
    chosen()
    assert preferences.head() == "openhead" and preferences.weights() == ""
    assert models.verdict(models.HEAD) is None and not ASKED


def test_good_and_bad_models() -> None:
    options = chosen()
    assert bpy.ops.deca.check_models() == {"FINISHED"}
    known = models.verdict(models.HEAD)
    assert known is not None and known.is_good and "openhead" in known.text and "52 ARKit" in known.text
    assert models.verdict(models.WEIGHTS) is None and ASKED == [DescribeHead("openhead", 0, 0)]

    options.weights = "/somewhere/good.safetensors"
    assert models.verdict(models.HEAD) is None  # the choice has changed
    assert bpy.ops.deca.check_models() == {"FINISHED"}
    known = models.verdict(models.WEIGHTS)
    assert known is not None and known.is_good and "openhead" in known.text
    assert ASKED[-1] == DescribeWeights("/somewhere/good.safetensors", "openhead")

    options.weights = "/somewhere/deca_model.tar"
    options.head = "/somewhere/broken.safetensors"
    try:
        bpy.ops.deca.check_models()
    except RuntimeError as error:
        assert "is damaged. Convert it again." in str(error) and "FLAME 2020. Choose others." in str(error)
    else:
        raise AssertionError("no error was reported")
    for name in (models.HEAD, models.WEIGHTS):
        known = models.verdict(name)
        assert known is not None and known.is_good is False and known.text and known.hint


def test_built_in_weights_are_named_and_checked(folder: Path) -> None:
    options = chosen()
    assert not preferences.has_builtin_weights()
    assert texts.models("", "", preferences.has_builtin_weights()) == "Models: OpenHead, no wrinkles"
    preferences.BUILTIN_FILE = folder / "openhead.safetensors"
    preferences.BUILTIN_FILE.touch()
    assert preferences.has_builtin_weights() and preferences.weights() == ""
    assert texts.models("", "", preferences.has_builtin_weights()) == "Models: OpenHead, built-in weights"
    assert texts.models("", "/my/own.tar", True) == "Models: OpenHead, own.tar"
    assert bpy.ops.deca.check_models() == {"FINISHED"}
    known = models.verdict(models.WEIGHTS)
    assert known is not None and known.is_good and ASKED[-1] == DescribeWeights("", "openhead")
    options.head = str(folder / "flame.safetensors")
    assert not preferences.has_builtin_weights()  # they are OpenHead's


def test_heads_keep_the_weights_they_were_made_with(folder: Path) -> None:
    options = chosen()
    bpy.ops.deca.import_face(filepath="/photos/wrinkled.jpg")
    by_builtin = bpy.data.objects["wrinkled"]
    own = folder / "good.safetensors"
    own.touch()
    options.weights = str(own)
    bpy.ops.deca.import_face(filepath="/photos/wrinkled too.jpg")
    by_file = bpy.data.objects["wrinkled too"]
    assert (live.weights_of(by_builtin), live.weights_of(by_file)) == ("", str(own))
    options.weights = ""
    assert (live.weights_of(by_builtin), live.weights_of(by_file)) == ("", str(own))


def test_the_user_is_told_why_there_are_no_wrinkles() -> None:
    chosen()
    told: list[str] = []

    class Importer:
        _imported, _errors, _notices, _is_interactive = ["a"], [], ["The built-in weights are damaged."], True
        _tell = DECA_OT_import_face._tell

        def report(self, kind: set[str], text: str) -> None:
            told.append(f"{kind}: {text}")

        def _show(self, context: bpy.types.Context) -> None:
            pass

    assert DECA_OT_import_face._finish(Importer(), bpy.context) == {"FINISHED"}  # type: ignore[arg-type]
    assert "{'WARNING'}: The built-in weights are damaged." in told
    assert bpy.ops.deca.import_face(filepath="/photos/damaged.jpg") == {"FINISHED"}  # a warning raises nothing


def test_flame_is_converted_and_chosen(folder: Path) -> None:
    options = chosen()
    assert not bpy.ops.deca.convert_head.poll()
    options.head = str(folder / "flame.safetensors")
    assert not bpy.ops.deca.convert_head.poll()
    options.head = str(folder / "generic_model.pkl")
    assert bpy.ops.deca.convert_head.poll()
    assert bpy.ops.deca.convert_head() == {"FINISHED"}
    assert ASKED == [ConvertHead(str(folder / "generic_model.pkl"), preferences.converted_folder())]
    assert preferences.head() == str(folder / "flame.safetensors")
    options.head = str(folder)
    assert bpy.ops.deca.convert_head.poll()


class Shown:
    """A layout that keeps what is drawn."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.buttons: list[str] = []

    def column(self, **_: Any) -> Shown:
        return self

    def label(self, text: str, **_: Any) -> None:
        self.labels.append(text)

    def operator(self, name: str, **_: Any) -> None:
        self.buttons.append(name)


def test_the_installation_and_what_became_of_it(folder: Path) -> None:
    """Not installed, with the button and the size; under way; failed; installed; its Python gone."""
    chosen()
    environment = ManagedEnvironment(folder / "backend")
    before = folders.managed_environment, preferences.launch_settings
    folders.managed_environment = lambda: environment
    preferences.launch_settings = lambda: LaunchSettings(user_folder=environment.folder, root=folder)

    def shown() -> str:
        layout = Shown()
        draw_installation(layout)
        assert layout.buttons == ["deca.install_backend"]
        return " ".join(layout.labels)

    class Installation:
        state, error = InstallState.INSTALLING, InstallError("The disk is full.", "Free some space.")

        def is_done(self) -> bool:
            return self.state is not InstallState.INSTALLING

    bpy.context.preferences.addons[folders.ADDON].preferences.torch = "cpu"
    assert texts.NOT_INSTALLED in shown() and "GB of the disk (PyTorch for the processor)" in shown()
    assert "Downloads" in DECA_OT_install_backend.description(bpy.context, None)
    install._installation = Installation()
    assert texts.INSTALL_RUNS in shown() and not bpy.ops.deca.install_backend.poll()
    Installation.state = InstallState.FAILED
    assert texts.NOT_INSTALLED in shown() and "The disk is full. Free some space." in shown()
    Installation.state = InstallState.CANCELLED
    assert texts.NOT_INSTALLED in shown() and "full" not in shown()
    install._installation = None  # Blender has been started again
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    environment.incomplete.touch()
    (environment.venv / "pyvenv.cfg").write_text(f"home = {folder}\n")
    assert texts.NOT_INSTALLED in shown() and "was not finished" in shown()
    environment.incomplete.unlink()
    assert texts.IS_INSTALLED in shown() and texts.NOT_INSTALLED not in shown()
    (environment.venv / "pyvenv.cfg").write_text(f"home = {folder / 'Blender 4.2'}\n")
    assert texts.NOT_INSTALLED in shown() and "has gone" in shown()
    folders.managed_environment, preferences.launch_settings = before


def test_checkpoints_are_listed_and_one_is_chosen(folder: Path) -> None:
    options = chosen()
    for age, name in enumerate(("new.safetensors", "run é/last.safetensors", "deca_model.tar", "notes.txt")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    options.checkpoints = str(folder)
    assert options.checkpoint == "NONE"
    names = [item[1] for item in preferences_page._checkpoint_items(options, None)]
    assert names == ["None of These", "new.safetensors", str(Path("run é/last.safetensors")), "deca_model.tar"]
    options.checkpoint = str(folder / "run é" / "last.safetensors")
    assert preferences.weights() == str(folder / "run é" / "last.safetensors") == options.checkpoint
    options.weights = "/elsewhere.safetensors"
    assert options.checkpoint == "NONE"
    options.checkpoints = str(folder / "missing")
    assert [item[0] for item in preferences_page._checkpoint_items(options, None)] == ["NONE"]


def test_the_cache_is_resized_at_once() -> None:
    options = chosen()
    assert live._live is not None
    cache = live._live.cache
    for index in range(8):
        cache.put(bytes([index]), np.zeros((256, 256), np.float32))
    options.cache_mib = 1
    assert [cache.get(bytes([index])) is not None for index in range(8)] == [False] * 4 + [True] * 4
    options.cache_mib = 128
    cache.put(b"x", np.zeros((256, 256), np.float32))
    assert cache.get(bytes([4])) is not None


def test_imports_use_and_remember_the_chosen_head(folder: Path) -> None:
    options = chosen()
    bpy.ops.deca.import_face(filepath="/photos/a.jpg")
    assert model_reference(bpy.data.objects["a"]) == HEAD.name and not bpy.data.objects["a"].deca.model_file
    assert {request.head for request in ASKED} == {"openhead"}
    ASKED.clear()
    options.head = str(folder / "flame.safetensors")
    bpy.ops.deca.import_face(filepath="/photos/b.jpg")
    assert {request.head for request in ASKED} == {str(folder / "flame.safetensors")}
    assert model_reference(bpy.data.objects["b"]) == str(folder / "flame.safetensors")
    options.head = ""
    assert model_reference(bpy.data.objects["b"]) == str(folder / "flame.safetensors")


def test_a_head_model_that_has_gone_is_replaced_by_the_preferences(folder: Path) -> None:
    options = chosen()
    path = folder / "flame.safetensors"
    path.touch()
    options.head = str(path)
    detail = {"detail": np.zeros(128, np.float32), "weights_hash": "0123"}
    from deca_blender.scene.import_face import ImportOptions, import_face

    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD, **detail), ImportOptions(head=str(path)))
    options.head = ""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    assert live._live is not None and live._live.inputs_of(obj, depsgraph).head == str(path)
    path.unlink()
    assert live._live.inputs_of(obj, depsgraph).head == "openhead"


case.main(globals())
