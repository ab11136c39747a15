"""The `deca-train` command: from a folder of photos to weights that the add-on loads, and their evaluation.

    deca-train prepare PHOTOS --out photos.npz
    deca-train pretrain --data photos.npz --out runs/pretrain
    deca-train coarse --data photos.npz --start runs/pretrain/last.ckpt --out runs/coarse
    deca-train detail --data photos.npz --start runs/coarse/last.ckpt --out runs/detail
    deca-train export runs/detail/best.ckpt --out weights.safetensors
    deca-train default --data photos.npz --out runs      # all of it, as the product's own weights were made
    deca-train fit photos.npz --out fitted.npz
    deca-train nonlinear_pretrain --data people/ --start weights.safetensors --out runs/known
    deca-train nonlinear --data fitted.npz --start runs/known/last.ckpt --out runs/nonlinear
    deca-train relief --out relief.safetensors --carriers smooth/
    deca-train skin-map --out skin_map.safetensors --carriers portraits/ snapshots/
    deca-train skin-tone --portraits portraits/ --out skin_tone.safetensors
    deca-train traits weights.safetensors --portraits portraits/ --out weights_2.safetensors
    deca-train age weights.safetensors --people people/ --out aged.safetensors
    deca-train evaluate landmarks --weights weights.safetensors --data photos.npz --out report
    deca-train synthetic subjects/ --subjects 300 --images 6

Heavy modules are imported by the commands that need them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from deca.cli import give_up_stdout
from deca.errors import DecaError, OptionError
from deca_training.config import Recipe, Stage
from deca_training.recipes import NONLINEAR_VARIANTS, VARIANTS

_STAGES = {
    "pretrain": "teach E_c by landmarks",
    "coarse": "teach E_c by landmarks, colours and identity, with shape consistency",
    "detail": "teach E_d and F_d wrinkles, with detail consistency",
    "nonlinear_pretrain": "teach the nonlinear face model what is known of synthetic people",
    "nonlinear": "teach the nonlinear face model by photos",
}


_NONLINEAR = ("nonlinear_pretrain", "nonlinear")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    options = _parser().parse_args(argv)
    try:
        return options.run(options) or 0
    except DecaError as error:
        print(f"deca-train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deca-train: stopped. The same command goes on; that of a stage with --resume.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        give_up_stdout()
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deca-train", description="Trains DECA: photos to weights for the add-on.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    from deca_training.data import prepare
    from deca_training.data.synthetic import cli as synthetic
    from deca_training.evaluate import cli as evaluate

    prepare.add_parser(commands)
    fit = commands.add_parser("fit", help="heads fitted to photos, for the nonlinear face model")
    fit.add_argument("data", type=Path, metavar="DATA", help="what `prepare` wrote, or a folder of folders of photos")
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file, .npz")
    fit.add_argument("--photos", type=int, metavar="N", help="at most N photos of each subject")
    fit.set_defaults(run=_fit)
    synthetic.add_parser(commands)
    for stage, what in _STAGES.items():
        _add_stage(commands.add_parser(stage, help=what, description=what), stage)
    shape = commands.add_parser(
        "shape", help="a shape encoder, fitted to synthetic people and real ones, in a weights file"
    )
    shape.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file whose other networks are kept")
    shape.add_argument("--people", type=Path, nargs="+", required=True, metavar="DIR", help="what `synthetic` wrote")
    shape.add_argument("--photos", type=Path, metavar="INDEX", help="photos of real people, as `prepare` indexed them")
    shape.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new weights file, .safetensors")
    shape.set_defaults(run=_shape)
    relief = commands.add_parser("relief", help="the relief network's weights, from synthetic people alone")
    relief.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights file, .safetensors")
    relief.add_argument(
        "--budget", choices=("cpu", "gpu"), default="cpu", help="an hour and a half of two cores, or six hours of a GPU"
    )
    relief.add_argument("--hours", type=float, metavar="H", help="of training, instead of the budget's")
    relief.add_argument("--people", type=int, metavar="N", help="synthetic people, instead of the budget's")
    relief.add_argument(
        "--first", type=int, default=1, metavar="N", help="number of the first; others than earlier weights saw"
    )
    relief.add_argument(
        "--start",
        type=Path,
        metavar="WEIGHTS",
        help="begin with these and what they find on the carriers; learn from photos as the product lays them out, too",
    )
    relief.add_argument(
        "--carriers",
        type=Path,
        metavar="DIR",
        help="photos on whose skin synthetic relief is shaded too; without --start of smooth skin",
    )
    relief.set_defaults(run=_relief)
    skin_map = commands.add_parser("skin-map", help="the weights of the network that tells skin from what covers it")
    skin_map.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights file, .safetensors")
    skin_map.add_argument(
        "--carriers", type=Path, nargs="+", required=True, metavar="DIR", help="folders of photos of faces"
    )
    skin_map.add_argument(
        "--start", type=Path, metavar="WEIGHTS", help="begin with these, and with what they are sure of on the photos"
    )
    skin_map.add_argument("--steps", type=int, default=8000, metavar="N", help="of training (default: 8000)")
    skin_map.add_argument(
        "--keep", type=float, default=0.0, metavar="SHARE", help="of --start's weights in the new ones (default: 0)"
    )
    skin_map.set_defaults(run=_skin_map)
    tone = commands.add_parser("skin-tone", help="the weights that tell by a face how light its skin is")
    tone.add_argument("--portraits", type=Path, required=True, metavar="DIR", help="photos of people")
    tone.add_argument(
        "--tones", type=Path, metavar="FILE", help="how light their skin is (default: tones.csv in that folder)"
    )
    tone.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights file, .safetensors")
    tone.set_defaults(run=_skin_tone)
    traits = commands.add_parser("traits", help="teaches the shape encoder what a face tells of age and sex")
    traits.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file whose other networks are kept")
    traits.add_argument("--portraits", type=Path, required=True, metavar="DIR", help="photos of people")
    traits.add_argument(
        "--traits", type=Path, metavar="FILE", help="their ages and sexes (default: traits.csv in that folder)"
    )
    traits.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new weights file, .safetensors")
    traits.set_defaults(run=_traits)
    age = commands.add_parser("age", help="how detail codes change with age, measured and put into a weights file")
    age.add_argument("weights", type=Path, metavar="WEIGHTS", help="weights file whose networks are kept as they are")
    age.add_argument("--people", type=Path, required=True, metavar="DIR", help="what `synthetic` wrote")
    age.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new weights file, .safetensors")
    age.set_defaults(run=_age)
    default = commands.add_parser("default", help="the weights that come with the product, from photos to the file")
    default.add_argument("--data", type=Path, required=True, metavar="INDEX", help="what `deca-train prepare` wrote")
    default.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; goes on where it was")
    default.add_argument("--budget", choices=("cpu", "gpu"), default="cpu", help="hours of two CPU cores, or of a GPU")
    default.add_argument("--start", type=Path, metavar="WEIGHTS",
                         help="begin with the weights of an earlier version of the head model")  # fmt: skip
    default.add_argument("--start-head", metavar="FILE", help="the head model of these weights")
    default.add_argument("--start-albedo", metavar="FILE", help="its albedo model")
    default.add_argument(
        "--portraits", type=Path, metavar="DIR", help="sharp photos that the relief network learns from"
    )
    default.set_defaults(run=_default)
    carry = commands.add_parser(
        "carry-over", help="weights of an earlier version of the head model, for the present one"
    )
    carry.add_argument("weights", type=Path, metavar="WEIGHTS", help="the weights file of the earlier version")
    carry.add_argument("--head", required=True, metavar="FILE", help="the head model of these weights")
    carry.add_argument("--albedo", required=True, metavar="FILE", help="its albedo model")
    carry.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new weights file, .safetensors")
    carry.set_defaults(run=_carry_over)
    export = commands.add_parser("export", help="a run's networks as a weights file for the backend and the add-on")
    export.add_argument("checkpoint", type=Path, metavar="CKPT", help="last.ckpt or best.ckpt of a run")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights file, .safetensors")
    export.add_argument("--data-name", default="", metavar="TEXT", help="what it was trained on, for the card")
    export.add_argument("--licence", default="", metavar="TEXT", help="licence of the weights, for the card")
    export.add_argument("--full", action="store_true", help="single precision; default: half, of half the size")
    export.set_defaults(run=_export)
    evaluate.add_parser(commands)
    return parser


def _add_stage(parser: argparse.ArgumentParser, stage: str) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DATA",
                        help="what `prepare` or `synthetic` wrote; the steps take turns among several")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    recipes = _recipes(stage)
    default = "nonlinear_small" if stage in _NONLINEAR else "small"
    parser.add_argument("--recipe", choices=sorted(recipes), default=default, help=f"default: {default}")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="changes",
                        help="change values of the recipe, for instance steps=500 losses.id_mrf=0")  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="FILE", help="checkpoint of the stage before, or weights")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="GPUs (or CPU processes) per computer")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="computers")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="loader processes per device")
    parser.set_defaults(run=_train, stage=stage)


def _train(options: argparse.Namespace) -> None:
    from deca_training.engine import Hardware, saved_recipe, train

    hardware = Hardware(options.accelerator, options.devices, options.nodes, options.workers)
    chosen = saved_recipe(options.out) if options.resume else _recipe(options)
    if options.resume and (options.changes or chosen.stage != options.stage):
        raise OptionError(
            f"The run in {options.out} goes on with its own recipe, of stage {chosen.stage}.",
            "Leave out --set, or begin a new run with --start.",
        )
    train(chosen, options.data, options.out, start=options.start, resume=options.resume, hardware=hardware)


def _recipe(options: argparse.Namespace) -> Recipe:
    assert options.stage in get_args(Stage)
    changes = dict(change.partition("=")[::2] for change in options.changes)
    return _recipes(options.stage)[options.recipe](options.stage).changed(changes)


def _recipes(stage: str) -> dict[str, Callable[[Stage], Recipe]]:
    """The recipes of a stage, by name."""
    return NONLINEAR_VARIANTS if stage in _NONLINEAR else VARIANTS


def _fit(options: argparse.Namespace) -> None:
    from deca_training.fit_photos import fit_photos

    count = fit_photos(options.data, options.out, photos=options.photos, progress=sys.stderr.isatty())
    print(f"{options.out}: {count:,} photos with fitted heads")


def _shape(options: argparse.Namespace) -> None:
    from deca_training.closed_form.shape_encoder import add_shape_encoder

    add_shape_encoder(options.weights, options.people, options.photos, options.out)


def _relief(options: argparse.Namespace) -> None:
    from deca_training.relief.trainer import train_relief

    out = train_relief(
        options.out, options.budget, options.hours, options.carriers, options.people, options.start, options.first
    )
    print(out)


def _skin_map(options: argparse.Namespace) -> None:
    from deca_training.skin_map.trainer import train_skin_map

    print(train_skin_map(options.out, options.carriers, options.steps, options.start, options.keep))


def _skin_tone(options: argparse.Namespace) -> None:
    from deca_training.closed_form.skin_tone import FILE, fit_skin_tone

    tones = options.tones or options.portraits / FILE
    print(f"{options.out}: {fit_skin_tone(options.portraits, tones, options.out)}")


def _traits(options: argparse.Namespace) -> None:
    from deca_training.closed_form.told_traits import FILE, add_traits

    traits = options.traits or options.portraits / FILE
    print(f"{options.out}: {add_traits(options.weights, options.portraits, traits, options.out)}")


def _age(options: argparse.Namespace) -> None:
    from deca_training.closed_form.age import add_age

    print(f"{options.out}: {add_age(options.weights, options.people, options.out)}")


def _default(options: argparse.Namespace) -> None:
    from deca_training.default import Earlier, train_default

    given = (options.start, options.start_head, options.start_albedo)
    if any(given) and not all(given):
        raise OptionError(
            "Earlier weights can only be carried over from the head model that they belong to.",
            "Give --start, --start-head and --start-albedo together.",
        )
    earlier = Earlier(*given) if all(given) else None
    print(train_default(options.data, options.out, options.budget, None, earlier, options.portraits))


def _carry_over(options: argparse.Namespace) -> None:
    from deca_training.carry_over import write_carried_over

    print(f"{options.out}: {write_carried_over(options.weights, options.head, options.albedo, options.out).recipe}")


def _export(options: argparse.Namespace) -> None:
    import torch

    from deca_training.engine import read_run
    from deca_training.export import export
    from deca_training.export_nonlinear import export_nonlinear

    if read_run(options.checkpoint).recipe.stage in _NONLINEAR:
        told = export_nonlinear(options.checkpoint, options.out, data=options.data_name, licence=options.licence)
        print(f"{options.out}: {told.recipe}, for {told.head}")
        return
    dtype = torch.float32 if options.full else torch.float16
    card = export(options.checkpoint, options.out, data=options.data_name, licence=options.licence, dtype=dtype)
    print(f"{options.out}: {card.recipe}, for {card.head}")


if __name__ == "__main__":
    sys.exit(main())
