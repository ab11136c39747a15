"""Why an installation failed: the cause, read from what venv, ensurepip, pip and the first import have printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InstallError

_LAST_LINES = 3
"""Lines that are shown of an output that is not understood."""
_KILLED = (-9, 137)
_ILLEGAL_INSTRUCTION = (-4, 132, 0xC000001D)
"""Exit statuses: of the process itself, of a shell around it, of Windows."""
_UNTOLD = re.compile(r"\s|WARNING|Traceback|\[notice|note:|hint:|During handling|The above exception|INFO|\$ ", re.I)
"""Starts of lines that say nothing of the cause: warnings, and the inner lines of tracebacks and lists."""


@dataclass(frozen=True)
class _Cause:
    """What a pattern in the output means. Its named groups, `python` and `server` may stand in the two texts."""

    pattern: str
    message: str
    hint: str


_OFFLINE_HINT = (
    "Check the internet connection, and whether a firewall or proxy keeps Blender's Python from it, then install again."
)
_SYSTEM = (
    _Cause(
        r"ensurepip is not\s+available|No module named '?(ensurepip|venv)\b",
        "{python} cannot make environments: its modules venv and ensurepip are not installed.",
        "On Debian and Ubuntu: `sudo apt install python3-venv`. Or use Blender from blender.org, which brings a whole"
        " Python. Then install again.",
    ),
    _Cause(
        r"No space left on device|Errno 28\b|WinError 112\b|not enough space on the disk|quota exceeded|Errno 122\b",
        "The disk is full.",
        "Free some space, then install again.",
    ),
    _Cause(
        r"DO NOT MATCH THE HASHES",
        "A package was damaged or changed on its way here.",
        "Install again. If it happens again, try another network, without a proxy or a mirror.",
    ),
    _Cause(
        r"WinError 225\b|contains a virus",
        "The virus scanner removed a file of the installation.",
        "Allow the extension's folder in the virus scanner, then install again.",
    ),
    _Cause(
        r"WinError 206\b|File name too long|Errno 36\b|Long Path support",
        "The folder of the extension is so deep that paths in it become too long.",
        "Windows: switch on long paths (pip.pypa.io/warnings/enable-long-paths), then install again. Or choose in the"
        " preferences a Python elsewhere that has torch.",
    ),
    _Cause(
        r"WinError (5|32)\b|being used by another process",
        "A file is in use by another program, or held by a virus scanner.",
        "Close other Blender windows, wait a minute, then install again. If it happens again, allow the extension's"
        " folder in the virus scanner.",
    ),
    _Cause(
        r"Read-only file system|Errno 30\b|Permission denied|Errno 13\b|Operation not permitted|Errno 1\b"
        r"|Not a directory|Errno 20\b",
        "A folder cannot be written: {line}",
        "Let your user write there, then install again.",
    ),
    _Cause(
        r"MemoryError|Cannot allocate memory|Errno 12\b",
        "There was not enough memory.",
        "Close other programs, then install again.",
    ),
    _Cause(
        r"is invalid\.$|BadZipFile|not a zip file|invalid wheel",
        "A package arrived damaged, or something else came in its place: {line}",
        "Install again. If it happens again, try another network, without a proxy or a mirror.",
    ),
    _Cause(
        r"Error loading .*\.dll|DLL load failed|WinError (126|127|1114)\b",
        "PyTorch was installed, but Windows lacks a library that it needs.",
        "Install Microsoft's Visual C++ Redistributable (x64, 2015 to 2022), then install again.",
    ),
    _Cause(
        r"version `(?P<library>GLIBC(XX)?_[\d.]+)' not found",
        "This Linux is too old for the packages: it lacks {library}.",
        "Update the system, or choose in the preferences a Python that has torch.",
    ),
    _Cause(
        r"(?P<library>\S+\.so[.\d]*): cannot open shared object",
        "The packages were installed, but the system lacks the library {library}.",
        "Install it with your system's packages, then install again.",
    ),
)
"""What may go wrong on this computer. Looked for first, warnings left out."""

_NETWORK = (
    _Cause(
        r"ssl'? module (in Python )?is (not available|unavailable)",
        "{python} cannot make secure connections: its module ssl is missing.",
        "Use Blender from blender.org, which brings a whole Python, then install again.",
    ),
    _Cause(
        r"CERTIFICATE_VERIFY_FAILED|confirming the ssl certificate|SSLError",
        "The certificate of {server} is not trusted here.",
        "Check the date and time of this computer. In a network that inspects its traffic, set the environment variable"
        " PIP_CERT to the certificate file of your organisation and start Blender again. Then install again.",
    ),
    _Cause(
        r"ProxyError|proxy connection error|Unable to connect to proxy|Tunnel connection failed|\b407 (Proxy|Client)",
        "The proxy of this network does not let the installation through to {server}.",
        "Correct the environment variable HTTPS_PROXY (with name and password where the proxy wants them), start"
        " Blender again, then install again.",
    ),
    _Cause(
        r"NameResolutionError|Failed to resolve|Name or service not known|getaddrinfo|nodename nor servname"
        r"|Temporary failure in name resolution|No address associated",
        "{server} was not found: this computer seems to be offline.",
        _OFFLINE_HINT,
    ),
    _Cause(
        r"\b(?P<status>401|403) Client Error",
        "{server} refuses access (HTTP {status}).",
        "A firewall, or the settings of pip on this computer, may be the reason. Correct them, then install again.",
    ),
    _Cause(
        r"HTTP error (404|429|5\d\d)|\b(429|5\d\d) (Server|Client) Error|too many \d+ error responses",
        "{server} has trouble at the moment, or does not have what it offers.",
        "Install again in a while.",
    ),
    _Cause(
        r"not a trusted or secure host",
        "The connection to {server} is not secure, so pip does not use it.",
        "Correct the index in the settings of pip on this computer (`pip config list`), then install again.",
    ),
    _Cause(
        r"incomplete-download|IncompleteRead|not enough bytes|Connection broken|ConnectionResetError|Connection reset"
        r"|ProtocolError|Connection aborted|closed without a reply|RemoteDisconnected",
        "The connection to {server} broke off.",
        _OFFLINE_HINT,
    ),
    _Cause(
        r"Failed to establish a new connection|Connection refused|unreachable|timed out|Timeout|didn't respond"
        r"|connection error",
        "{server} cannot be reached.",
        _OFFLINE_HINT,
    ),
)
"""What may go wrong on the way. pip tells it in warnings and, of an index, in its own log only."""

_NO_PACKAGE = re.compile(r"No matching distribution found for (?P<what>[^\n(]+)")
_NO_VERSIONS = "(from versions: none)"
_TORCH_SERVER = "download.pytorch.org"
_OTHER_TORCH = (
    f" If only {_TORCH_SERVER} is blocked here, choose the other PyTorch in the preferences, which comes from PyPI."
)


def install_error(output: str, status: int, python: Path, log: Path, pip_log: str = "") -> InstallError:
    """The error to show for a step that failed.

    Args:
        output: What the step has printed, stdout and stderr together.
        status: Its exit status.
        python: The interpreter that makes the environment.
        log: Where the whole output is, for causes that are not known.
        pip_log: pip's own log, which knows why an index gave nothing.
    """
    lines = [line.rstrip() for line in output.splitlines()]
    told = [line for line in lines if not line.lstrip().startswith("WARNING")]
    fetches = [line for line in pip_log.splitlines() if "Could not fetch URL" in line]
    if found := _first(_SYSTEM, told):
        return _error(*found, python)
    if status in _KILLED:
        return InstallError(
            "The installation was stopped by the system, perhaps for lack of memory.",
            "Close other programs, then install again.",
        )
    if status in _ILLEGAL_INSTRUCTION:
        return InstallError(
            "The packages were installed, but this processor is too old for PyTorch.",
            "Use another computer for the backend: the preferences have a field for its command.",
        )
    missing = _NO_PACKAGE.search(output)
    if found := _first(_NETWORK, fetches + lines if _NO_VERSIONS in output else told if missing is None else []):
        return _error(*found, python)
    if missing or "is not a supported wheel" in output or "ResolutionImpossible" in output:
        what = missing["what"].strip() if missing else "that fits"
        return InstallError(
            f"There is no package {what} for {python} on this system.",
            "Choose in the preferences a Python that has torch, or use another version of Blender.",
        )
    words = [line for line in lines if line and not _UNTOLD.match(line)]
    words = [line for line in words if line.lower().startswith("error")] or words
    last = (
        " | ".join(line.removeprefix("ERROR: ") for line in words[-_LAST_LINES:])
        or f"exit status {status}, nothing was printed"
    )
    return InstallError(f"The installation failed: {last}", f"The log has the details: {log}")


def _first(causes: Sequence[_Cause], lines: Sequence[str]) -> tuple[_Cause, re.Match[str]] | None:
    """The first cause that the lines show, and where."""
    text = "\n".join(lines)
    for cause in causes:
        if match := re.search(cause.pattern, text, re.MULTILINE):
            return cause, match
    return None


def _error(cause: _Cause, match: re.Match[str], python: Path) -> InstallError:
    text = match.string
    line = text[text.rfind("\n", 0, match.start()) + 1 :].split("\n", 1)[0].strip()
    server = _server(line) or _server(text) or "the package server"
    known = {"python": python, "server": server, "line": line, **match.groupdict()}
    hint = cause.hint + (_OTHER_TORCH if server == _TORCH_SERVER else "")
    return InstallError(cause.message.format_map(known), hint)


def _server(text: str) -> str:
    """The host that a text names, or ""."""
    for pattern in (
        r"Failed to resolve '([^']+)'",
        r"located at (\S+) is not",
        r"https?://([^/:\s]+)",
        r"host='([^']+)'",
    ):
        if match := re.search(pattern, text):
            return match[1]
    return ""
