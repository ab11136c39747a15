"""Builds OpenHead, the embedded CC0 head model, from MakeHuman's data (see ``tools/build_openhead.py``)."""
