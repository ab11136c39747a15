"""Finding an interpreter, and starting the real backend with it."""

from __future__ import annotations

import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from deca_blender.client import (
    InterpreterError,
    LaunchSettings,
    ManagedEnvironment,
    RequestFailed,
    Session,
    find_interpreter,
    probe,
)
from deca_blender.client.interpreter import venv_python
from deca_blender.client.launch import split_command
from deca_blender.protocol.messages import DescribeHead, Ping, ReconstructPhoto

from .harness import FAKE, ROOT, is_alive, wait_until

pytestmark = pytest.mark.timeout(120)

ODD = "Ordner mit Leerzeichen ä 日本"
HERE = Path(sys.executable)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def real_python_at(path: Path) -> Path:
    """This interpreter under another path."""
    return script(path, f'exec "{HERE}" "$@"')


@pytest.fixture(autouse=True)
def _no_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DECA_PYTHON", raising=False)


def test_probe_of_this_python() -> None:
    found = probe(HERE, "test", ["numpy"])
    assert (found.path, found.version, found.origin) == (HERE, sys.version_info[:3], "test")


def test_probe_is_not_misled_by_the_hosts_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "a_module_of_the_host.py").write_text("")
    with pytest.raises(InterpreterError, match="lacks a_module_of_the_host"):
        probe(HERE, "", ["a_module_of_the_host"])


def test_probe_says_which_modules_are_missing() -> None:
    with pytest.raises(InterpreterError, match=r"lacks no_such_a, no_such_b\. Choose another"):
        probe(HERE, "", ["numpy", "no_such_a", "no_such_b"])


@posix_only
def test_probe_sees_the_users_own_packages_but_not_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the backend does: `pip install --user torch` is enough."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own = tmp_path / "lib" / base.name / "site-packages"
    own.mkdir(parents=True)
    (own / "of_the_user.py").touch()
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path))
    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    (tmp_path / "in_the_folder.py").touch()
    (tmp_path / "json.py").write_text("raise SystemExit('from the folder')")
    monkeypatch.chdir(tmp_path)
    assert probe(base, "", ["of_the_user"]).path == base
    with pytest.raises(InterpreterError, match=r"lacks in_the_folder\."):
        probe(base, "", ["in_the_folder"])


def test_probe_of_nothing_and_of_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InterpreterError, match="cannot be run"):
            probe(path)


@posix_only
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo hello", "not a usable Python"),
        ("echo broken >&2; exit 1", r"not a usable Python \(broken\)"),
        ("exec sleep 30", "did not answer within 0.3 seconds"),
        ("""echo '{"version": [3, 9, 1], "missing": []}'""", "is Python 3.9.1; the backend needs 3.11"),
        ("echo '[]'", "not a usable Python"),
    ],
)
def test_probe_of_what_is_no_fit_python(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InterpreterError, match=message):
        probe(script(tmp_path / ODD / "python", text), timeout_s=0.3 if "sleep" in text else 20)


@posix_only
def test_order_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, root = tmp_path / "user", tmp_path / "root"

    def origin(preference: str = "") -> str:
        return find_interpreter(preference, user, root, ["numpy"]).origin

    with pytest.raises(InterpreterError, match="Install the backend"):
        origin()
    real_python_at(venv_python(root / ".venv"))
    assert origin() == "development checkout"
    managed = ManagedEnvironment(user)
    real_python_at(managed.python)
    settings = managed.venv / "pyvenv.cfg"
    settings.write_text(f"home = {tmp_path / 'gone'}\n")
    assert origin() == "development checkout"  # its Python has gone, with an older Blender perhaps
    settings.write_text(f"home = {HERE.parent}\n")
    managed.incomplete.touch()
    assert origin() == "development checkout"  # not finished: passed over
    managed.incomplete.unlink()
    assert origin() == "installed by the add-on"
    monkeypatch.setenv("DECA_PYTHON", str(HERE))
    assert origin() == "DECA_PYTHON"
    assert origin(str(HERE)) == "preferences"
    with pytest.raises(InterpreterError, match="/nowhere/python cannot be run"):
        origin("/nowhere/python")  # the user's word: nothing else is tried


@posix_only
def test_refusals_are_all_named(tmp_path: Path) -> None:
    user, root = tmp_path / "user", tmp_path / "root"
    user.mkdir()
    ManagedEnvironment(user).incomplete.touch()
    script(venv_python(root / ".venv"), "exit 1")
    with pytest.raises(InterpreterError) as caught:
        find_interpreter("", user, root)
    assert "was not finished" in caught.value.message and str(root) in caught.value.message


@posix_only
@pytest.mark.skipif(find_spec("torch") is None, reason="this Python has no torch to be found")
def test_extension_in_a_folder_of_any_name_read_only_and_a_hostile_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deca` and `deca_blender` come from the extension's folder, and nothing comes from the current folder."""
    root = tmp_path / ODD
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("deca_blender", "backend"):
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    cwd = tmp_path / "photos"
    cwd.mkdir()
    for name in ("numpy", "json", "deca"):
        (cwd / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", str(cwd))
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    python = real_python_at(tmp_path / f"{ODD} python" / "python")
    try:
        session = Session(LaunchSettings(python=str(python), device="cpu", log_folder=tmp_path / "log ö", root=root))
        session.request(Ping(), timeout=30)
        assert session.backend and session.backend.device == "cpu"
        assert Path(session.backend.log_path).parent == tmp_path / "log ö"
        with pytest.raises(RequestFailed) as caught:
            session.request(DescribeHead("/no such head"), timeout=60)
        assert caught.value.kind == "AssetError" and caught.value.hint
        session.close()
    finally:
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)


def test_no_interpreter_is_an_error_of_the_request(tmp_path: Path) -> None:
    session = Session(LaunchSettings(user_folder=tmp_path, root=tmp_path))
    for _ in range(3):  # without the back-off of crashes
        start = time.monotonic()
        with pytest.raises(InterpreterError, match="No Python for the backend was found"):
            session.request(Ping(), timeout=10)
        assert time.monotonic() - start < 0.4


@posix_only
def test_full_command(tmp_path: Path) -> None:
    wrapper = script(tmp_path / ODD / "gpu box", f'PYTHONPATH="{ROOT}:{ROOT}/backend" "{HERE}" "{FAKE}" "$@"; exit 0')
    session = Session(LaunchSettings(command=f"'{wrapper}' --device cpu"))
    assert session.request(ReconstructPhoto("steps", texture_size=None), timeout=20).faces
    assert session.backend and session.backend.device == "cpu"
    backend, shell = session.backend.pid, session.pid
    assert shell and backend != shell
    session.close()
    assert wait_until(lambda: not is_alive(backend) and not is_alive(shell))


def test_split_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_command("ssh 'gpu box' deca serve") == ("ssh", "gpu box", "deca", "serve")
    monkeypatch.setattr(sys, "platform", "win32")
    assert split_command(r'"C:\Program Files\py\python.exe" -m deca.service') == (
        r"C:\Program Files\py\python.exe",
        "-m",
        "deca.service",
    )
