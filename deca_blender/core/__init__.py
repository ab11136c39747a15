"""Pure logic of the add-on: numpy and the standard library, no bpy."""
