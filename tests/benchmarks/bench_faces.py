"""Measures face detection on large photos. Each measurement is one command and prints one JSON object:

    python tests/benchmarks/bench_faces.py collages LFW   small faces on 12 and 24 megapixels: found, false
    python tests/benchmarks/bench_faces.py photos FOLDER  photos of one person each (FOLDER/person/*.jpg): found, others
    python tests/benchmarks/bench_faces.py time LFW       milliseconds on 12 megapixels

LFW is a folder of Labeled Faces in the Wild, deep-funneled: LFW/person/*.jpg of 250 x 250 with a face 112 pixels wide
in the middle. The collages are made in memory, the same each time. Nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

from deca.vision import Photo, find_faces, read_photo

FACE = 112  # pixels from jaw to jaw on a photo of LFW
HEAD = (slice(22, 214), slice(44, 206))  # what of it is pasted: the head with its hair
PHOTOS = ("coffee", "chelsea", "rocket", "grass", "gravel", "brick", "moon", "hubble_deep_field", "coins", "text")


# -- Collages ---------------------------------------------------------------------------------------------------------


def of_photo(random: np.random.Generator, height: int, width: int) -> NDArray:
    """A photo of no person, mirrored over the canvas at a scale of 0.7 to 6."""
    picture = np.atleast_3d(getattr(skimage.data, random.choice(PHOTOS))())
    picture = np.broadcast_to(picture, (*picture.shape[:2], 3))
    scale = float(np.exp(random.uniform(np.log(0.7), np.log(6))))
    tile = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    tile = np.concatenate([tile, tile[::-1]])
    tile = np.concatenate([tile, tile[:, ::-1]], 1)
    return np.tile(tile, (height // tile.shape[0] + 1, width // tile.shape[1] + 1, 1))[:height, :width]


def of_noise(random: np.random.Generator, height: int, width: int) -> NDArray:
    """Clouds in three colours: noise of all scales, rougher or smoother."""
    rough = random.uniform(0.4, 1.2)
    canvas = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 9):
        grid = random.standard_normal((height >> octave, width >> octave, 3)).astype(np.float32)
        canvas += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR) * 2 ** (octave * rough)
    canvas *= 40 / canvas.std()
    return np.clip(canvas + random.uniform(60, 190, 3), 0, 255).astype(np.uint8)


def of_leaves(random: np.random.Generator, height: int, width: int) -> NDArray:
    """Foliage: leaves of all directions, light and dark."""
    canvas = np.full((height, width, 3), random.integers(0, 60, 3), np.uint8)
    for _ in range(int(random.integers(6000, 14000))):
        centre = (int(random.integers(width)), int(random.integers(height)))
        length = int(random.integers(15, 90))
        colour = (np.array([70, 130, 40]) * random.uniform(0.2, 1.8) + random.normal(0, 15, 3)).clip(0, 255).tolist()
        cv2.ellipse(canvas, centre, (length, length // 3), float(random.uniform(0, 360)), 0, 360, colour, -1)
    return canvas


def of_boxes(random: np.random.Generator, height: int, width: int) -> NDArray:
    """A town: a grid of windows with frames and light of their own."""
    canvas = np.full((height, width, 3), random.integers(80, 220, 3), np.uint8)
    step = int(random.integers(50, 300))
    for y in range(0, height, step):
        for x in range(0, width, step):
            low, high = random.integers(step // 10, step // 3, 2), random.integers(step // 2, step, 2)
            colour = random.integers(0, 255, 3).tolist()
            cv2.rectangle(canvas, (int(x + low[0]), int(y + low[1])), (int(x + high[0]), int(y + high[1])), colour, -1)
    return canvas


def paste(random: np.random.Generator, canvas: NDArray, photo: NDArray, face: float, at: tuple[int, int]) -> None:
    """Pastes the head of a photo of LFW, its face so many pixels wide, cut out softly or as a rectangle."""
    head = photo[HEAD]
    rows, columns = (round(side * face / FACE) for side in head.shape[:2])
    head = cv2.resize(head, (columns, rows), interpolation=cv2.INTER_AREA if face < FACE else cv2.INTER_CUBIC)
    mask = np.ones((rows, columns, 1))
    if random.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        mask = np.clip((1 - np.hypot(x, y)) * 8, 0, 1)[..., None]
    part = canvas[at[1] : at[1] + rows, at[0] : at[0] + columns]
    part[:] = (part * (1 - mask) + head * mask).round()


def collages(people: list[Path], count: int, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Canvases and the faces (N, 3) on them: x and y of the middle, width in pixels."""
    for index in range(count):
        random = np.random.default_rng((seed, index))
        height, width = [(3000, 4000), (4000, 6000), (4000, 3000), (4000, 6000)][index % 4]
        canvas = np.ascontiguousarray((of_photo, of_noise, of_leaves, of_boxes)[index // 4 % 4](random, height, width))
        faces: list[tuple[float, float, float]] = []
        for _ in range(int(random.integers(1, 8))):
            face = float(random.uniform(60, 200))
            x, y = random.uniform(face, width - 2 * face), random.uniform(face, height - 2 * face)
            if any(np.hypot(x - fx, y - fy) < 500 for fx, fy, _ in faces):
                continue
            person = people[int(random.integers(len(people)))]
            photo = read_photo(sorted(person.glob("*.jpg"))[0]).pixels
            paste(random, canvas, photo, face, (round(x - 81 * face / FACE), round(y - 96 * face / FACE)))
            faces.append((x, y, face))
        yield canvas, np.array(faces)


def measure_collages(args: argparse.Namespace) -> dict:
    total = found = finds = false = with_false = agree = 0
    by_size, missed = defaultdict(lambda: [0, 0]), []
    people = sorted(args.folder.iterdir())[slice(*args.people)]
    for index, (canvas, faces) in enumerate(collages(people, args.count, args.seed)):
        answers = find_faces(Photo(canvas), max_faces=100)
        if index % 5 == 0:
            first = find_faces(Photo(canvas), max_faces=1)
            agree += [f.landmarks_L3.tolist() for f in first] == [f.landmarks_L3.tolist() for f in answers[:1]]
        right = set()
        for x, y, face in faces:
            hits = [
                k
                for k, answer in enumerate(answers)
                if np.hypot(*((answer.box[:2] + answer.box[2:]) / 2 - (x, y))) < 0.5 * face
                and 0.6 < (answer.box[2] - answer.box[0]) / face < 1.6
            ]
            right |= set(hits[:1])
            by_size[f"{face // 20 * 20:.0f}"][0] += bool(hits)
            by_size[f"{face // 20 * 20:.0f}"][1] += 1
            if not hits:
                missed.append((index, round(x), round(y), round(face)))
        wrong = [k for k in range(len(answers)) if k not in right]
        if args.show and wrong:
            args.show.mkdir(exist_ok=True)
            for k in wrong:
                x, y = (answers[k].box[:2] + answers[k].box[2:]) / 2
                side = (answers[k].box[2:] - answers[k].box[:2]).max()
                low = np.maximum((x - side, y - side), 0).astype(int)
                part = canvas[low[1] : int(y + side), low[0] : int(x + side), ::-1]
                cv2.imwrite(str(args.show / f"{index}_{k}_{answers[k].score:.2f}.png"), part)
        total, found, finds = total + len(faces), found + len(right), finds + len(answers)
        false, with_false = false + len(wrong), with_false + bool(wrong)
        print(f"{index + 1} collages: {found} of {total} found, {false} false in {with_false}", file=sys.stderr)
    return {
        "collages": args.count,
        "faces": total,
        "found": found / total,
        "false finds of all finds": false / max(finds, 1),
        "collages with a false find": with_false / args.count,
        "max_faces=1 gives the first": f"{agree} of {(args.count + 4) // 5}",
        "found by width": {
            k: f"{hit} of {all_}" for k, (hit, all_) in sorted(by_size.items(), key=lambda i: int(i[0]))
        },
        "missed": missed,
    }


# -- Photos -----------------------------------------------------------------------------------------------------------


def measure_photos(args: argparse.Namespace) -> dict:
    paths = [sorted(person.glob("*.*g"))[0] for person in sorted(args.folder.iterdir()) if person.is_dir()]
    paths = paths[slice(*args.people)][: args.count]
    counts = {path.parent.name: len(find_faces(read_photo(path))) for path in paths}
    return {
        "photos": len(paths),
        "found": sum(n > 0 for n in counts.values()),
        "none": [name for name, n in counts.items() if not n],
        "several": [name for name, n in counts.items() if n > 1],
    }


# -- Time -------------------------------------------------------------------------------------------------------------


def measure_time(args: argparse.Namespace) -> dict:
    random = np.random.default_rng(args.seed)
    people = sorted(args.folder.iterdir())[slice(*args.people)]
    pictures = {}
    for name, make in (("photo", of_photo), ("noise", of_noise), ("leaves", of_leaves), ("boxes", of_boxes)):
        pictures[f"no face, {name}"] = np.ascontiguousarray(make(random, 3000, 4000))
    for name, face in (("large face", 1000), ("small face", 100)):
        pictures[name] = pictures["no face, noise"].copy()
        paste(random, pictures[name], read_photo(sorted(people[0].glob("*.jpg"))[0]).pixels, face, (1300, 700))
    torch.set_num_threads(args.threads)
    report: dict = {"threads": args.threads}
    for name, picture in pictures.items():
        for max_faces in (1, 8):
            times = []
            for _ in range(args.count):
                photo = Photo(picture)
                wall, cpu = time.perf_counter(), time.process_time()
                found = find_faces(photo, max_faces=max_faces)
                times.append((time.perf_counter() - wall, time.process_time() - cpu))
            wall, cpu = np.median(times[1:], axis=0) * 1e3
            report[f"{name}, max_faces={max_faces}"] = {
                "found": len(found),
                "wall ms": round(wall),
                "fastest ms": round(min(t for t, _ in times) * 1e3),
                "cpu ms": round(cpu),
            }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, count in (
        ("collages", measure_collages, 200),
        ("photos", measure_photos, 10**6),
        ("time", measure_time, 9),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("folder", type=Path)
        command.add_argument("--count", type=int, default=count, help="collages, photos or repetitions")
        command.add_argument("--people", type=int, nargs=2, default=[0, None], metavar=("FIRST", "END"))
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--show", type=Path, help="folder for pictures of the false finds")
    args = parser.parse_args()
    json.dump(args.run(args), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
