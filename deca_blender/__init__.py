"""The add-on: photo in, rigged head in Blender out. Importing this package needs neither bpy nor torch."""

__version__ = "0.1.0"
"""As in blender_manifest.toml and pyproject.toml."""
