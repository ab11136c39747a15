"""Installing the backend's environment: what is there afterwards, whatever happens, and what the user is told."""

from __future__ import annotations

import http.server
import os
import threading
import zipfile
from pathlib import Path

import pytest

from deca_blender.client import (
    Installation,
    InstallState,
    InterpreterError,
    ManagedEnvironment,
    find_interpreter,
    probe,
)
from deca_blender.core import requirements

from .harness import wait_until
from .test_launch import HERE, ODD, posix_only, script

pytestmark = pytest.mark.timeout(120)


def wheel(folder: Path, name: str, code: str = "", version: str = "1.0", needs: str = "") -> Path:
    """A wheel of one module, so that pip has something to install without a network."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", code)
        info = f"{name}-{version}.dist-info"
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def install(folder: Path, requirements: list[str], modules: list[str], needed_bytes: int = 0) -> Installation:
    return Installation(ManagedEnvironment(folder), HERE, [["--no-index", *requirements]], needed_bytes, modules)


def assert_not_installed(environment: ManagedEnvironment) -> None:
    """Nothing is left of an installation but its logs."""
    assert not environment.is_ready()
    assert {path.name for path in environment.folder.iterdir()} <= {environment.log.name, environment.pip_log.name}


def test_installation_leaves_the_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    package = wheel(tmp_path, "deca_test_package", "answer = 42")
    environment = ManagedEnvironment(tmp_path / ODD)
    environment.venv.mkdir(parents=True)  # Blender ended in the middle of an installation
    environment.incomplete.touch()
    (environment.venv / "half a package").touch()
    installation = install(environment.folder, [str(package)], ["deca_test_package"])
    assert environment.incomplete.exists() or wait_until(environment.incomplete.exists)
    assert not environment.is_ready()
    assert installation.wait(90) is InstallState.READY, installation.error
    assert environment.is_ready() and installation.is_done() and installation.error is None
    assert find_interpreter("", environment.folder, None, ["deca_test_package"]).path == environment.python
    assert "deca_test_package" in environment.log.read_text(encoding="utf-8")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InterpreterError, match="lacks deca_test_package"):
        probe(HERE, "", ["deca_test_package"])

    assert not (environment.venv / "half a package").exists() and not environment.temporary.exists()

    # One that there is no space for does not touch it; it could have its space, too.
    installation = install(environment.folder, [], [], needed_bytes=10**18)
    assert installation.wait(90) is InstallState.FAILED and environment.is_ready()
    assert installation.error and "installing needs 1000000000.0 GB" in installation.error.message

    # Another installation, over the first, that pip cannot finish.
    installation = install(environment.folder, [str(tmp_path / "none-1.0-py3-none-any.whl")], [])
    assert installation.wait(90) is InstallState.FAILED
    assert installation.error and "none-1.0" in str(installation.error) and installation.error.hint
    assert_not_installed(environment)


@posix_only
def test_installation_can_be_cancelled(tmp_path: Path) -> None:
    slow = script(tmp_path / "python", "echo preparing; sleep 60")
    installation = Installation(ManagedEnvironment(tmp_path / "user"), slow, [])
    assert wait_until(lambda: installation.detail == "preparing")
    installation.cancel()
    assert installation.wait(5) is InstallState.CANCELLED
    assert_not_installed(installation.environment)


def test_installation_into_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    installation = install(tmp_path / "file" / "user", [], [])
    assert installation.wait(20) is InstallState.FAILED
    assert installation.error and "cannot be written" in installation.error.message and installation.error.hint
    assert (tmp_path / "file").read_text() == ""


@posix_only
def test_pip_never_runs_in_an_interpreter_that_is_no_environment(tmp_path: Path) -> None:
    """Should creating the environment silently give the base interpreter, the installation stops before pip."""
    environment = ManagedEnvironment(tmp_path)
    base = os.path.realpath(HERE)
    marker = tmp_path / "pip has run"
    impostor = script(
        tmp_path / "impostor",
        f"""mkdir -p "{environment.python.parent}"
cat > "{environment.python}" <<'END'
#!/bin/sh
case "$*" in *pip*) touch "{marker}";; esac
exec "{base}" "$@"
END
chmod +x "{environment.python}" """,
    )
    installation = Installation(environment, impostor, [["--no-index", "numpy"]])
    assert installation.wait(20) is InstallState.FAILED
    assert installation.error and "is no virtual environment" in installation.error.message
    assert not marker.exists() and not environment.is_ready()


def index(folder: Path, *wheels: Path) -> str:
    """The address of a package index that offers the wheels."""
    for path in wheels:
        page = folder / path.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<a href="{path.as_uri()}">{path.name}</a>', encoding="utf-8")
    return folder.as_uri()


@pytest.fixture
def _no_settings_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.mark.usefixtures("_no_settings_of_pip")
def test_without_a_card_no_cuda_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI's torch of the same version, which needs CUDA's libraries, is passed over; all else comes from PyPI."""
    cuda = wheel(tmp_path / "cuda", "nvidia_cublas")
    torch = wheel(tmp_path / "pypi", "torch", version="3.0", needs="nvidia_cublas")
    other = wheel(tmp_path / "pypi", "deca_test_package", needs="torch>=2.6")
    monkeypatch.setenv("PIP_INDEX_URL", index(tmp_path / "pypi index", cuda, torch, other))
    small = wheel(tmp_path / "cpu", "torch", version="3.0+cpu")
    monkeypatch.setattr(requirements, "CPU_INDEX", index(tmp_path / "cpu index", small))
    plan = requirements.install_plan(
        "auto", False, "Linux", "x86_64", "3.10", ["deca_test_package", "torch>=2.6"]
    )  # without a lock
    environment = ManagedEnvironment(tmp_path / "user")
    modules = ["torch", "deca_test_package"]
    installation = Installation(environment, HERE, plan.pip_installs, modules=modules)
    assert installation.wait(90) is InstallState.READY, installation.error
    names = {path.name for path in environment.venv.rglob("*.dist-info")}
    assert {"torch-3.0+cpu.dist-info", "deca_test_package-1.0.dist-info"} <= names
    assert not [name for name in names if name.startswith("nvidia")]


@pytest.mark.usefixtures("_no_settings_of_pip")
def test_the_real_cause_of_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip says of a server that refuses only that there is no package; the reason is in its own log."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        environment = ManagedEnvironment(tmp_path)
        installation = Installation(environment, HERE, [["torch"]])
        assert installation.wait(90) is InstallState.FAILED
        server.shutdown()
    assert installation.error and installation.error.message == "127.0.0.1 refuses access (HTTP 403)."
    assert "No matching distribution" in environment.log.read_text(encoding="utf-8")
    assert_not_installed(environment)


@posix_only
def test_a_python_without_ensurepip(tmp_path: Path) -> None:
    """As on Debian without python3-venv; there, too, venv itself works without pip."""
    hide = "import sys, runpy; sys.modules['ensurepip'] = None; sys.argv = sys.argv[1:]"
    code = f"{hide}; runpy.run_module(sys.argv.pop(0), run_name='__main__')"
    base = script(
        tmp_path / "python",
        f"""[ "$2" = -m ] || exec "{HERE}" "$@"
"{HERE}" "$@" || exit 1
for last; do :; done
mv "$last/bin/python" "$last/bin/real"
cat > "$last/bin/python" <<'END'
#!/bin/sh
[ "$2" = -m ] || exec "$(dirname "$0")/real" "$@"
module=$3; shift 3
exec "$(dirname "$0")/real" -I -c "{code}" "$module" "$@"
END
chmod +x "$last/bin/python" """,
    )
    installation = Installation(ManagedEnvironment(tmp_path / "user"), base, [], modules=[])
    assert installation.wait(30) is InstallState.FAILED
    assert installation.error and "venv and ensurepip are not installed" in installation.error.message
    assert str(base) in installation.error.message and "python3-venv" in installation.error.hint
    assert_not_installed(installation.environment)
