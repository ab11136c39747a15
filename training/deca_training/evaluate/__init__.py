"""How good weights are: shape benchmarks with scans, landmarks, identity, wrinkles, and comparisons of runs.

`scans`, `alignment` and `scan_benchmark` measure meshes against scans for `now` and `feng`; `subjects` gives the faces
of photos to `landmarks`, `identity`, `detail_transfer` and `ablation`; `tables` and `curves` write results.
"""
