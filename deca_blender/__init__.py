"""The add-on: photo in, rigged head in Blender out. Importing this package needs neither bpy nor torch."""
