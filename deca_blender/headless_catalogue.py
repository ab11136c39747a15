"""A catalogue of all heads in a folder of results: the last step of `deca merge DIR --catalogue NAME`.

Prints `{"catalogue", "heads", "left_out"}` at the end; other lines on stdout are Blender's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import registration
from .batch.ledger import Ledger
from .protocol import batch
from .protocol.photos import told
from .scene.catalogue import add_head, give_preview, in_rows, save
from .scene.save import clear_file


def main(argv: Sequence[str]) -> int:
    """Makes the catalogue NAME.blend in the folder of results.

    Args:
        argv: The folder, and the name.

    Returns:
        0; 1 where the folder holds no head, or the catalogue cannot be written.
    """
    out, name = Path(argv[0]), argv[1]
    catalogue, ledger = out / f"{name}.blend", Ledger(out)
    left_out, assets = [], []
    with registration.registered():
        clear_file()
        for record in ledger.records():
            blend = out / f"{record.name}.blend"
            if not record.line["ok"] or not blend.is_file():
                continue
            try:
                asset = add_head(record.name, blend, f"From {Path(record.line['photo']).name}")
                if record.picture and (ledger.folder / record.picture).is_file():
                    give_preview(asset, ledger.folder / record.picture)
            except (OSError, RuntimeError) as error:  # stays with this head
                left_out.append({"blend": told(blend), "reason": str(error).strip()})
                continue
            assets.append(asset)
        if not assets:
            print(f"{out} holds no .blend file of `deca import`.", file=sys.stderr)
            return 1
        in_rows(assets)
        try:
            save(catalogue)
        except OSError as error:
            print(f"{catalogue} could not be written ({error}).", file=sys.stderr)
            return 1
    batch.write(batch.line(catalogue=told(catalogue), heads=len(assets), left_out=left_out))
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Blender as a module may hang or crash while the interpreter ends; all files are written by now.
    os._exit(status)
