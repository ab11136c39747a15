"""The cause of a failed installation. The excerpts are what pip 23.2 and 26.3, venv and ensurepip have really printed,
but for those of Windows, which are its messages as pip passes them on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_blender.client.install_failure import install_error

NOTHING = (
    "ERROR: Could not find a version that satisfies the requirement torch>=2.6 (from versions: none)\n"
    "ERROR: No matching distribution found for torch>=2.6\n"
)
RETRY = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken"
)
SKIPPED = "2026-11-28T08:06:24,592 Could not fetch URL https://pypi.org/simple/torch/: "
OS_ERROR = "ERROR: Could not install packages due to an OSError: "

CAUSES = {
    "no ensurepip": (
        "/env/bin/python: No module named ensurepip.__main__; 'ensurepip' is a package and cannot be directly executed",
        "",
        "venv and ensurepip",
    ),
    "no venv": ("/usr/bin/python3: No module named venv", "", "venv and ensurepip"),
    "Debian": (
        "The virtual environment was not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu",
        "",
        "venv and ensurepip",
    ),
    "space for downloads": (f"{OS_ERROR}[Errno 28] No space left on device", "", "disk is full"),
    "space for ensurepip": (
        "    fp.write(whl)\nOSError: [Errno 28] No space left on device\nsubprocess.CalledProcessError: Command '[]'"
        " returned non-zero exit status 1.",
        "",
        "disk is full",
    ),
    "space on Windows": (f"{OS_ERROR}[WinError 112] There is not enough space on the disk", "", "disk is full"),
    "read-only": ("Error: [Errno 30] Read-only file system: '/tiny/v'", "", "cannot be written: Error: .*'/tiny/v'"),
    "permission": (f"{OS_ERROR}[Errno 13] Permission denied: '/opt/none'", "", "'/opt/none'"),
    "certificate 23": (
        f"{RETRY} by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
        " self-signed certificate (_ssl.c:1006)'))': /simple/good/\nCould not fetch URL https://localhost:18443/simple/"
        "good/: There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='localhost', port=18443):"
        f" Max retries exceeded with url: /simple/good/ (Caused by SSLError(...)) - skipping\n{NOTHING}",
        "",
        "certificate of localhost is not trusted",
    ),
    "no ssl": (
        "WARNING: pip is configured with locations that require TLS/SSL, however the ssl module in Python is not"
        f" available.\n{NOTHING}",
        "",
        "module ssl is missing",
    ),
    "name 23": (
        f"{RETRY} by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f61284e5c10>:"
        f" Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/torch/\n{NOTHING}",
        f"{SKIPPED}connection error: HTTPSConnectionPool(host='pypi.org', port=443): (Caused by NewConnectionError('"
        "...: Failed to establish a new connection: [Errno -2] Name or service not known')) - skipping",
        "pypi.org was not found: .* offline",
    ),
    "name 26": (
        f"{RETRY} by 'NameResolutionError(\"HTTPSConnection(host='pypi.org', port=443): Failed to resolve 'pypi.org'"
        f" ([Errno -2] Name or service not known)\")': /simple/torch/\n{NOTHING}",
        "",
        "pypi.org was not found: .* offline",
    ),
    "refused": (
        f"{RETRY} by 'NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=1): Failed to establish a new"
        f" connection: [Errno 111] Connection refused\")': /simple/torch/\n{NOTHING}",
        "",
        "127.0.0.1 cannot be reached",
    ),
    "no answer": (NOTHING, f"{SKIPPED}pypi.org didn't respond within 15.0 seconds - skipping", "cannot be reached"),
    "closed": (
        NOTHING,
        f"{SKIPPED}connection error: the connection was closed without a reply from the server. - skipping",
        "broke off",
    ),
    "broken off": (
        "  WARNING: Connection interrupted while downloading.\nerror: incomplete-download\n\n× Download failed after 6"
        " attempts because not enough bytes were received (500 bytes/100 kB)\n╰─> URL: https://files.example/cut.whl\n",
        "",
        "connection to files.example broke off",
    ),
    "proxy 23": (
        f"{RETRY} by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy"
        f" Authentication Required'))': /simple/torch/\n{NOTHING}",
        "",
        "proxy of this network",
    ),
    "proxy 26": (
        NOTHING,
        f"{SKIPPED}proxy connection error: ('Unable to connect to proxy', OSError('Tunnel connection failed: 407 Proxy"
        " Authentication Required')) - skipping",
        "proxy of this network .* pypi.org",
    ),
    "forbidden": (
        NOTHING,
        f"{SKIPPED}403 Client Error: Forbidden for url: https://pypi.org/simple/torch/ - skipping",
        r"pypi.org refuses access \(HTTP 403\)",
    ),
    "server in trouble": (
        NOTHING,
        f"{SKIPPED}HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/torch/"
        " (Caused by ResponseError('too many 503 error responses')) - skipping",
        "has trouble",
    ),
    "file gone": (
        "ERROR: HTTP error 404 while getting https://files.example/gone-1.0-py3-none-any.whl (from ...)",
        "",
        "files.example has trouble",
    ),
    "insecure": (
        "WARNING: The repository located at mirror.example is not a trusted or secure host and is being ignored. If"
        f" this repository is available via HTTPS we recommend you use HTTPS instead\n{NOTHING}",
        "",
        "mirror.example is not secure",
    ),
    "hash": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package\n"
        "    good from http://127.0.0.1/good.whl#sha256=00:\n        Expected sha256 00\n             Got        3f\n",
        "",
        "damaged or changed",
    ),
    "damaged": ("ERROR: Wheel 'cut' located at /tmp/cut-1.0-py3-none-any.whl is invalid.", "", "arrived damaged"),
    "no such package": (
        NOTHING,
        f"{SKIPPED}404 Client Error: Not Found for url: https://pypi.org/simple/torch/ - skipping",
        "no package torch>=2.6 for /blender/python",
    ),
    "no such version": (
        f"{RETRY} by 'ReadTimeoutError(\"Read timed out.\")': /simple/torch/\nERROR: Could not find a version that"
        " satisfies the requirement torch>=2.6 (from versions: 2.0.0, 2.2.2)\nERROR: No matching distribution found"
        " for torch>=2.6",
        "",
        "no package torch>=2.6 for /blender/python",
    ),
    "other platform": (
        "ERROR: other-1.0-cp27-cp27m-win32.whl is not a supported wheel on this platform.",
        "",
        "no package that fits for /blender/python",
    ),
    "virus scanner": (
        f"{OS_ERROR}[WinError 225] Operation did not complete successfully because the file contains a virus or"
        " potentially unwanted software: 'C:\\\\a.exe'",
        "",
        "virus scanner removed",
    ),
    "in use": (
        f"{OS_ERROR}[WinError 32] The process cannot access the file because it is being used by another process",
        "",
        "in use by another program",
    ),
    "long path": (
        f"{OS_ERROR}[Errno 2] No such file or directory: 'C:\\\\a'\nHINT: This error might have occurred since this"
        " system does not have Windows Long Path support enabled.",
        "",
        "too long",
    ),
    "runtime": (
        'OSError: [WinError 126] The specified module could not be found. Error loading "C:\\torch\\lib\\c10.dll" or'
        " one of its dependencies.",
        "",
        "Windows lacks a library",
    ),
    "old Linux": (
        "ImportError: /lib64/libc.so.6: version `GLIBC_2.28' not found (required by /env/torch/lib/libc10.so)",
        "",
        "lacks GLIBC_2.28",
    ),
    "library": (
        "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory",
        "",
        "lacks the library libcudnn.so.9",
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_told_with_what_to_do(name: str) -> None:
    output, pip_log, expected = CAUSES[name]
    error = install_error(output, 1, Path("/blender/python"), Path("/user/install.log"), pip_log)
    assert error.hint
    assert not set("{}") & set(str(error))
    with pytest.raises(type(error), match=expected):
        raise error


@pytest.mark.parametrize(("status", "expected"), [(-9, "memory"), (137, "memory"), (-4, "processor is too old")])
def test_the_cause_is_in_the_exit_status(status: int, expected: str) -> None:
    error = install_error("Collecting torch\n", status, Path("python"), Path("install.log"))
    assert expected in error.message and error.hint


def test_a_warning_is_no_cause() -> None:
    """A cache that cannot be written, or one retry, did not end the installation; what did is not known."""
    output = (
        "WARNING: The directory '/root/.cache/pip' is not writable: [Errno 13] Permission denied\n"
        f"{RETRY} by 'ReadTimeoutError(\"Read timed out.\")': /simple/torch/\n"
        'Collecting torch (403 kB)\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\n'
        "AssertionError: something new\n"
    )
    error = install_error(output, 2, Path("python"), Path("/user/install.log"))
    assert error.message.endswith("Collecting torch (403 kB) | AssertionError: something new")
    assert "/user/install.log" in error.hint


def test_an_output_that_is_empty() -> None:
    assert "exit status 3" in install_error("", 3, Path("python"), Path("install.log")).message


def test_the_other_torch_is_offered_where_only_its_server_is_blocked() -> None:
    log = SKIPPED.replace("pypi.org/simple", "download.pytorch.org/whl/cpu") + "403 Client Error: Forbidden - skipping"
    error = install_error(NOTHING, 1, Path("python"), Path("install.log"), log)
    assert "download.pytorch.org refuses" in error.message and "other PyTorch in the preferences" in error.hint
