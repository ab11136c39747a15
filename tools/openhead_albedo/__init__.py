"""Builds OpenHead's albedo basis from a model of human skin (see ``tools/build_albedo.py``)."""
