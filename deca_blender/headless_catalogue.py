"""A catalogue of all heads in a folder of results: the last step of `deca merge DIR --catalogue NAME`.

Prints `{"catalogue", "heads", "left_out"}` at the end; other lines on stdout are Blender's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import bpy

from . import registration
from .batch.ledger import Ledger, Record
from .protocol import batch
from .protocol.photos import told
from .scene.catalogue import add_head, give_preview, in_rows, save
from .scene.save import clear_file

HEADS_EACH = 200
"""Heads of a file. Blender reads all that it links, about 15 MB a head; further heads go to `NAME_2.blend`, ..."""


def main(argv: Sequence[str]) -> int:
    """Makes the catalogue NAME.blend in the folder of results.

    Args:
        argv: The folder, and the name.

    Returns:
        0; 1 where the folder holds no head, or the catalogue cannot be written.
    """
    out, name = Path(argv[0]), argv[1]
    ledger = Ledger(out)
    waiting = [record for record in ledger.records() if record.line["ok"] and (out / f"{record.name}.blend").is_file()]
    files: list[str] = []
    left_out: list[dict[str, str]] = []
    with registration.registered():
        for start in range(0, len(waiting), HEADS_EACH):
            clear_file()
            assets = list(_assets(waiting[start : start + HEADS_EACH], ledger, left_out))
            if not assets:
                continue
            in_rows(assets)
            catalogue = out / (f"{name}_{len(files) + 1}.blend" if files else f"{name}.blend")
            try:
                save(catalogue)
            except OSError as error:
                print(f"{catalogue} could not be written ({error}).", file=sys.stderr)
                return 1
            files.append(told(catalogue))
    if not files:
        print(f"{out} holds no .blend file of `deca import`.", file=sys.stderr)
        return 1
    batch.write(batch.line(catalogue=files, heads=len(waiting) - len(left_out), left_out=left_out))
    return 0


def _assets(
    records: Sequence[Record], ledger: Ledger, left_out: list[dict[str, str]]
) -> Iterator[bpy.types.Collection]:
    """The heads of records as assets; those that cannot be read go to `left_out`."""
    for record in records:
        blend, picture = ledger.out / f"{record.name}.blend", ledger.folder / record.picture
        try:
            asset = add_head(record.name, blend, f"From {Path(record.line['photo']).name}")
            if picture.is_file():
                give_preview(asset, picture)
        except (OSError, RuntimeError) as error:  # stays with this head
            left_out.append({"blend": told(blend), "reason": str(error).strip()})
            continue
        yield asset


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
