"""Heads in .blend files to other formats without a window: `deca export`, and `blender --command deca_export` where the
add-on is installed.

Prints a JSON line per head and format, `{"blend", "head", "format", "ok", "files", ...}`, and `{"summary": {"exports",
"failed", "skipped"}}` at the end; other lines on stdout are Blender's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import bpy

from . import backend, registration
from .client import ClientError
from .core.export import ExportError, ExportOptions
from .protocol import batch
from .protocol.export_arguments import export_arguments
from .protocol.photos import result_name, told
from .scene.export_head import export_head
from .scene.normal_map import wrinkle_normals
from .scene.save import open_heads
from .scene.wrinkles import has_wrinkles

COMMAND = "deca_export"
NORMALS_SIZE = 1024
"""Rows of the map of normals where nothing else is asked for."""


def main(argv: Sequence[str]) -> int:
    """Exports heads; returns 0 when all were exported or there already, 1 when some failed, 2 for wrong usage.

    130, 143 and 141 as in a shell: stopped by Ctrl-C, terminated, nobody reads the report any more.
    """
    parser = argparse.ArgumentParser(
        prog=COMMAND, parents=[export_arguments()], description="Heads in .blend files to formats of other programs."
    )
    try:
        arguments = parser.parse_args(argv)
        options = {format: options_of(arguments, format) for format in arguments.format}
    except ExportError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # argparse has printed why
        return stop.code if isinstance(stop.code, int) else 2
    return registration.run_command(lambda: _run(arguments, options))


def options_of(arguments: argparse.Namespace, format: str) -> ExportOptions:
    """The options that arguments of the command stand for.

    Raises:
        ExportError: The format cannot do what is asked.
    """
    return ExportOptions(
        format=format,
        expression="NEUTRAL" if arguments.neutral else "CURRENT",
        use_skeleton=not arguments.no_skeleton,
        use_animation=not arguments.no_animation,
        use_coefficients=arguments.coefficients,
        use_visemes=arguments.visemes,
        textures=arguments.textures.upper(),
        use_wrinkle_maps=arguments.wrinkle_maps,
        detail=arguments.detail,
        use_triangles=arguments.triangles,
        use_eyes="eyes" not in arguments.without,
        use_teeth="teeth" not in arguments.without,
        use_tongue="tongue" not in arguments.without,
        scale=arguments.scale,
        up=arguments.up.upper(),
    )


def _run(arguments: argparse.Namespace, options: dict[str, ExportOptions]) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    count = failed = skipped = 0
    with batch.stoppable() as check:
        for blend in arguments.blends:
            for outcome in _exports(blend, arguments, options):
                check()
                count += 1
                skipped += "skipped" in outcome
                failed += not outcome["ok"] and "skipped" not in outcome
                batch.write(batch.line(blend=told(blend), **outcome))
        batch.write(batch.line(summary={"exports": count, "failed": failed, "skipped": skipped}))
    return 1 if failed else 0


def _exports(
    blend: Path, arguments: argparse.Namespace, options: dict[str, ExportOptions]
) -> Iterator[dict[str, object]]:
    """What became of each head of a file, in each format."""
    try:
        heads = open_heads(blend)
    except OSError as error:
        yield {"ok": False, "error": str(error)}
        return
    if not heads:
        yield {"ok": False, "error": f"{blend} holds no head in its scene."}
    for head in heads:
        name = result_name(blend) if len(heads) == 1 else f"{result_name(blend)}_{result_name(head.name)}"
        normals = Normals(head, arguments.normals)
        for format, chosen in options.items():
            started = time.perf_counter()
            outcome = _export(head, arguments.out / f"{name}{chosen.suffix}", chosen, normals, arguments.overwrite)
            yield {"head": head.name, "format": format} | outcome | {"seconds": round(time.perf_counter() - started, 2)}


class Normals:
    """The map of normals of a head, made when a format wants it for the first time."""

    def __init__(self, head: bpy.types.Object, size: int) -> None:
        self._head, self._size = head, size
        self._png: bytes | None = None
        self.problem = ""

    def png(self, options: ExportOptions) -> bytes | None:
        """The map, or None where it is not wanted or cannot be had; `problem` says why."""
        is_wanted = self._size and options.textures != "NONE" and not options.detail and has_wrinkles(self._head)
        if is_wanted and self._png is None and not self.problem:
            try:
                self._png = wrinkle_normals(backend.session(), self._head, self._size)
            except ClientError as error:
                self.problem = f"There is no map of normals: {error}"
        return self._png if is_wanted else None


def _export(
    head: bpy.types.Object, path: Path, options: ExportOptions, normals: Normals, is_overwriting: bool
) -> dict[str, object]:
    if not is_overwriting and os.path.lexists(path):
        return {"ok": False, "skipped": True, "error": str(batch.already_there(path))}
    try:
        done = export_head(bpy.context, head, path, options, normals.png(options))
    except (ExportError, OSError) as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:  # stays with this head: the others follow
        traceback.print_exc()
        return {"ok": False, "error": f"This head failed unexpectedly ({type(error).__name__}: {error})."}
    told_of: dict[str, object] = {
        "ok": True,
        "files": [told(file) for file in done.files],
        "morphs": len(done.morphs),
        "sum_error_mm": round(1e3 * done.sum_error, 3),
    }
    notices = [notice for notice in (normals.problem, *done.notices) if notice]
    if notices:
        told_of["notices"] = notices
    return told_of


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
