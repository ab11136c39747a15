"""Entry point of the backend process: options, log, private pipes, then the server. Imports no torch."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from deca import __version__
from deca.head.bundled import BUNDLES
from deca.service.device import Device
from deca.service.log import start_log
from deca.service.parent import exit_with_parent
from deca.service.server import Handler, Server
from deca.service.stdio import take_stdio
from deca_blender.protocol.messages import PROTOCOL_VERSION, HelloReply, Request

log = logging.getLogger(__name__)


def serve(argv: Sequence[str] | None = None, handlers: Mapping[type[Request], Handler] | None = None) -> NoReturn:
    """Serves requests on stdin and stdout until the other side closes them, then ends the process.

    The exit status is 0 after EOF or `Shutdown`, 1 when the stream broke or spoke another protocol.

    Args:
        argv: Command-line options; `sys.argv[1:]` when None.
        handlers: What answers each type of request; `deca.service.handlers.HANDLERS` when None.
    """
    options = _parser().parse_args(argv)
    # Two threads that spin-wait for each other are ten times slower on a busy machine; torch reads this on import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    reader, writer = take_stdio()
    faulthandler.enable(all_threads=False)  # a crash in native code leaves its stack among the last words
    log_path = start_log(options.log_dir)
    exit_with_parent()
    device = Device(options.device)
    if handlers is None:
        from deca.service.handlers import make_handlers

        handlers = make_handlers(device)
    hello = HelloReply(
        protocol_version=PROTOCOL_VERSION,
        backend_version=__version__,
        python=platform.python_version(),
        torch=device.torch_version(),
        device=options.device,
        models=tuple(BUNDLES),
        log_path=str(log_path or ""),
        pid=os.getpid(),
    )
    log.info("deca %s, Python %s on %s", __version__, platform.python_version(), platform.platform())
    try:
        status = Server(reader, writer, handlers, hello, device).run()
    except KeyboardInterrupt:  # of somebody who runs it by hand
        status = 130
    # Tearing torch down takes a second, for which Blender would wait at its own exit; nothing is left to be saved.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deca serve",
        description="Serve the Blender add-on over stdin and stdout. Meant to be started by the add-on.",
    )
    parser.add_argument(
        "--device", default="auto", help="where networks run: cpu, cuda, cuda:1, ... (default: %(default)s)"
    )
    parser.add_argument("--log-dir", type=Path, help="folder of the log file (default: no log file)")
    return parser
