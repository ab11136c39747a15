"""Many photos to files: which (`plan`), what has been done (`ledger`), who does it (`workers`), in what order and how
it ends (`engine`), what is told meanwhile (`progress`) and afterwards (`report`).

Standard library alone, without Blender and torch: the button, `deca import` and `blender --command deca_import` are
this engine with different workers, and its tests have workers of their own.
"""
