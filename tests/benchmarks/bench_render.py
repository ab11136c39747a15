"""Times of the renderer: process CPU time on a CPU, wall time on a GPU; medians, milliseconds per image.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/bench_render.py [--device cuda] [--threads 1] [--repeat 15]

Pictures are 224 x 224 of the embedded head (10,664 triangles) in random poses, textures and UV maps 256 x 256. "Full
shading" is everything from vertices to the picture: vertex normals, projection, rasterisation, albedo, light.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from deca.head import load_head
from deca.reconstruct.geometry import rotation
from deca.render.camera import project
from deca.render.detail import detail_surface
from deca.render.normals import vertex_normals
from deca.render.rasterizer import Backend, rasterize
from deca.render.renderer import Renderer
from deca.render.uv import uv_raster, world2uv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--backend", default="torch", choices=("torch", "pytorch3d"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    columns = [stages(batch, arguments.device, arguments.backend) for batch in arguments.batches]
    kind = "CPU time" if arguments.device == "cpu" else "wall time"
    print(f"median {kind}, ms per image, on {arguments.device}, {arguments.threads} thread(s)")
    print("| stage |" + "".join(f" batch {batch} |" for batch in arguments.batches))
    print("|---|" + "---|" * len(arguments.batches))
    for name in columns[0]:
        times = [
            median_ms(stage[name], arguments.device, arguments.repeat) / batch
            for stage, batch in zip(columns, arguments.batches, strict=True)
        ]
        print(f"| {name} |" + "".join(f" {value:.2f} |" for value in times), flush=True)


def stages(batch: int, device: str, backend: Backend) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    head = load_head()
    random = np.random.default_rng(0)
    turns = rotation(random.normal(0, 0.3, (batch, 3)))
    verts = torch.from_numpy(head.template_V3 @ turns.transpose(0, 2, 1)).float().to(device).requires_grad_()
    camera = torch.tensor([[8.0, 0, 0]], device=device).repeat(batch, 1).requires_grad_()
    albedo = torch.rand(batch, 3, 256, 256, device=device, requires_grad=True)
    light = torch.randn(batch, 9, 3, device=device, requires_grad=True)
    wrinkles = (torch.randn(batch, 1, 256, 256, device=device) * 1e-4).requires_grad_()
    renderer = Renderer.of_head(head, backend=backend).to(device)
    faces = renderer.faces_F3
    with torch.no_grad():
        picture = project(verts, camera)

    def coarse() -> torch.Tensor:
        return renderer(verts, project(verts, camera)).shade(albedo, light).image_B3HW

    def detail() -> torch.Tensor:
        surface = renderer(verts, project(verts, camera))
        normals = detail_surface(verts, wrinkles, head, normals_BV3=surface.vertex_normals_BV3).normals_B3HW
        return surface.shade(albedo, light, normals).image_B3HW

    def forward(function: Callable[[], object]) -> Callable[[], object]:
        return torch.no_grad()(function)

    def backward(function: Callable[[], torch.Tensor]) -> Callable[[], object]:
        return lambda: function().square().mean().backward()

    uv_raster(head, 256, device)
    return {
        "rasterise": forward(lambda: rasterize(picture, faces, 224, 224, backend=renderer.backend)),
        "vertex normals": forward(lambda: vertex_normals(verts, faces)),
        "full shading": forward(coarse),
        "full shading, forward + backward": backward(coarse),
        "world2uv (3 channels)": forward(lambda: world2uv(verts, head)),
        "detail normals": forward(lambda: detail_surface(verts, wrinkles, head).normals_B3HW),
        "detail shading": forward(detail),
        "detail shading, forward + backward": backward(detail),
    }


def median_ms(function: Callable[[], object], device: str, repeat: int) -> float:
    """Median over `repeat` runs after two to warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(repeat + 2):
        start = clock()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append((clock() - start) * 1e3)
    return float(np.median(times[2:]))


if __name__ == "__main__":
    main()
