"""The product calls nothing that only Linux has without asking first, and says the encoding of each text."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("deca_blender", "backend", "training", "tools")
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    *("fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid", "getuid", "killpg", "mkfifo", "mknod", "nice"),
    *("sched_getaffinity", "setpgid", "setsid", "statvfs", "sysconf", "uname", "wait3", "wait4", "waitid"),
    *(
        "SIGALRM",
        "SIGCHLD",
        "SIGCONT",
        "SIGHUP",
        "SIGKILL",
        "SIGPIPE",
        "SIGSTOP",
        "SIGUSR1",
        "SIGUSR2",
        "alarm",
        "pause",
    ),
}
"""Of `os` and `signal`."""
ASKS = ("platform", "name", "hasattr", "system")
LINUX_PLACES = ("/proc/", "/sys/", "/dev/", "/tmp/", "/bin/", "/usr/", "/home/")
LINUX_ALONE = {
    "tools/picture_panels.py",  # a real Blender in a Debian of its own: tools/real_blender.sh says that it needs Linux
    "deca_blender/client/graphics_card.py",  # a list of the Linux driver, which may be missing
}


def faults(tree: ast.Module) -> Iterator[str]:
    """What would fail elsewhere, with its line."""
    yield from _within(tree, is_asked=False)


def _within(node: ast.AST, is_asked: bool) -> Iterator[str]:
    """A function, `if` or conditional expression that asks for the platform may do what it likes."""
    if isinstance(node, ast.FunctionDef | ast.If | ast.IfExp | ast.Assign | ast.AnnAssign):
        is_asked = is_asked or any(_asks(each) for each in ast.walk(node))
    if not is_asked:
        yield from _here(node)
    for child in ast.iter_child_nodes(node):
        yield from _within(child, is_asked)


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") in ("hasattr", "getattr")
    return isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.platform", "os.name", "platform.system")


def _here(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names) if POSIX_MODULES & {alias.name for alias in names}:
            yield f"{node.lineno}: {ast.unparse(node)}"
        case ast.ImportFrom(module=str(module)) if module in POSIX_MODULES:
            yield f"{node.lineno}: {ast.unparse(node)}"
        case ast.Attribute(value=ast.Name(id="os" | "signal"), attr=name) if name in POSIX_NAMES:
            yield f"{node.lineno}: {ast.unparse(node)}"
        case ast.Constant(value=str(text)) if text.startswith(LINUX_PLACES) and "\n" not in text:
            yield f"{node.lineno}: {text!r}"


def texts_without_encoding(tree: ast.Module) -> Iterator[str]:
    """Calls that would read or write a text in the encoding of this computer; Windows' is not UTF-8."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg in ("encoding", None) for keyword in node.keywords):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        mode = next((each.value for each in node.args if isinstance(each, ast.Constant) and _is_mode(each.value)), "r")
        opens = (isinstance(node.func, ast.Name) and name == "open") or (
            name == "open" and bool(node.args) and mode != "r" and ast.unparse(node.func) != "tarfile.open"
        )
        if (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) == 1):
            yield f"{node.lineno}: {ast.unparse(node)}"
        elif opens and "b" not in mode:
            yield f"{node.lineno}: {ast.unparse(node)}"


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 3 and set(value) <= set("rwaxbt+")


def files() -> list[Path]:
    found = itertools.chain.from_iterable((ROOT / folder).rglob("*.py") for folder in FOLDERS)
    return [path for path in found if path.relative_to(ROOT).as_posix() not in LINUX_ALONE]


def test_nothing_only_linux_has() -> None:
    found = {str(path.relative_to(ROOT)): list(faults(ast.parse(path.read_text(encoding="utf-8")))) for path in files()}
    assert len(found) > 200
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_texts_have_an_encoding() -> None:
    found = {
        str(path.relative_to(ROOT)): list(texts_without_encoding(ast.parse(path.read_text(encoding="utf-8"))))
        for path in files()
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "is_fault"),
    [
        ("import os\nos.killpg(1, 9)", True),
        ("import os\nif os.name == 'posix':\n    os.killpg(1, 9)", False),
        ("import os, signal\ndef f():\n    return signal.SIGKILL", True),
        ("import signal\nx = getattr(signal, 'SIGKILL', signal.SIGTERM)", False),
        ("import resource", True),
        ("def f():\n    import sys\n    if sys.platform == 'win32':\n        return\n    import resource", False),
        ("open('/proc/self/status', encoding='utf-8')", True),
        ("x = '/projects'", False),
    ],
)
def test_the_check_itself(code: str, is_fault: bool) -> None:
    assert bool(list(faults(ast.parse(code)))) is is_fault


@pytest.mark.parametrize(
    ("code", "is_fault"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, 'utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("path.open('w')", True),
        ("path.open('wb')", False),
        ("Image.open(path)", False),
    ],
)
def test_the_check_of_encodings(code: str, is_fault: bool) -> None:
    assert bool(list(texts_without_encoding(ast.parse(code)))) is is_fault
