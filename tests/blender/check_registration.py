"""Registering twice is clean, and nothing stays behind."""

from __future__ import annotations

import blender_case as case
import bpy

from deca_blender import registration


def our_names() -> list[str]:
    """What Blender's types hold of the add-on."""
    found = [name for name in dir(bpy.types) if name.startswith("DECA_")]
    found += [name for name in ("deca", "deca_transfer") if hasattr(bpy.types.Object, name)]
    found += ["WindowManager.deca"] if hasattr(bpy.types.WindowManager, "deca") else []
    found += ["deca.import_face"] if hasattr(bpy.types, "DECA_OT_import_face") else []
    return found


def menu_entries() -> list[int]:
    menus = (bpy.types.TOPBAR_MT_file_import, bpy.types.VIEW3D_MT_mesh_add, bpy.types.VIEW3D_MT_object_animation)
    return [len(menu._dyn_ui_initialize()) for menu in menus]


def test_register_and_unregister_twice() -> None:
    registration.unregister()
    clean, menus = our_names(), menu_entries()
    assert not clean
    try:
        for _ in range(2):
            registration.register()
            assert "DECA_OT_import_face" in our_names() and menu_entries() == [count + 1 for count in menus]
            registration.unregister()
            assert (our_names(), menu_entries()) == (clean, menus)
    finally:
        registration.register()


def test_registered_leaves_an_enabled_add_on_alone() -> None:
    with registration.registered():
        pass
    assert hasattr(bpy.types, "DECA_OT_import_face")
    registration.unregister()
    with registration.registered():
        assert hasattr(bpy.types, "DECA_OT_import_face")
    assert not hasattr(bpy.types, "DECA_OT_import_face")
    registration.register()


def test_every_class_has_a_description_and_is_of_this_add_on() -> None:
    for cls in registration.CLASSES:
        assert cls.__name__.startswith("DECA_")
        if issubclass(cls, bpy.types.Operator):
            assert cls.bl_description and cls.bl_idname.startswith("deca.")


case.main(globals())
