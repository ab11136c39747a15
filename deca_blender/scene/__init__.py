"""The only code of the add-on that writes Blender data."""
