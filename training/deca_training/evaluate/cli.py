"""`deca-train evaluate`: what weights are worth, as tables and plots.

deca-train evaluate now --data NOW --weights W --out DIR                   predictions, errors, curves
deca-train evaluate now --data NOW --predictions OTHER --name RingNet --compare DIR --out BOTH
deca-train evaluate feng --data STIRLING --weights W --out DIR
deca-train evaluate landmarks --data photos.npz --weights W --out DIR
deca-train evaluate identity --data photos.npz --weights W --out DIR
deca-train evaluate transfer --data photos.npz --weights W --out DIR
deca-train evaluate wrinkles --data synthetic/ --weights W --out DIR
deca-train evaluate relief --weights RELIEF --out DIR                  the relief network on people kept out
deca-train evaluate nonlinear --weights W ... --data fitted.npz --learnt-from fitted.npz --people DIR --out DIR
deca-train evaluate photo-relief --relief RELIEF --out DIR            the product's way from photos of people kept out
deca-train evaluate relief-pairs --data photos/ --relief RELIEF --out DIR      two photos each of real people
deca-train evaluate likeness --data people/ --out DIR                  the shape of a photo held on others
deca-train evaluate ablation --runs A B C --data photos.npz --out DIR
deca-train evaluate training --runs RUN ... --out DIR
deca-train evaluate anthropometry --out DIR                            is the head model's mean the average of people?
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deca.errors import OptionError
from deca_blender.protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD
from deca_training.data.order import SPLITS

if TYPE_CHECKING:
    from deca.reconstruct.models import Models
    from deca_training.evaluate.subjects import Subjects


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the command `evaluate`."""
    about = "shape benchmarks, landmark error, identity, wrinkles; tables and plots"
    parser = commands.add_parser("evaluate", help=about, description=about)
    kinds = parser.add_subparsers(required=True, metavar="WHAT")

    models = argparse.ArgumentParser(add_help=False)
    models.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    models.add_argument("--head", default=OPENHEAD, help="head model: openhead, or a head model file")
    models.add_argument("--albedo", type=Path, metavar="FILE", help="albedo model of a converted head model")
    models.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ..., or auto")

    one = argparse.ArgumentParser(add_help=False, parents=[models])
    one.add_argument("--weights", type=Path, metavar="FILE", help="weights file; without it the landmark fit")
    one.add_argument("--name", help="what the method is called (default: after the weights file)")
    one.add_argument("--data", type=Path, required=True, help="the benchmark's folder, an index, or a folder of photos")

    compared = argparse.ArgumentParser(add_help=False)
    compared.add_argument(
        "--compare", type=Path, nargs="+", default=[], metavar="DIR", help="--out of earlier runs, for table and plots"
    )
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--validation", type=float, metavar="SHARE", help="only the subjects kept out with this share")
    chosen.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    chosen.add_argument("--subjects", type=int, metavar="N", help="at most N subjects")
    chosen.add_argument("--photos", type=int, metavar="N", help="at most N photos of each subject")

    for name, text in (("now", "the NoW challenge"), ("feng", "the benchmark of Feng et al. (LQ and HQ)")):
        scans = kinds.add_parser(name, help=text, description=text, parents=[one, compared])
        scans.add_argument(
            "--predictions", type=Path, metavar="DIR", help="measure these meshes instead of making some"
        )
        scans.add_argument("--predict-only", action="store_true", help="write predictions to send in, measure nothing")
        scans.add_argument("--radius", type=float, metavar="R", help="measured part of scans (default: 1.2; 0: all)")
        scans.add_argument("--metrical", action="store_true", help="do not scale predictions, which are in millimetres")
        if name == "now":
            scans.add_argument("--list", type=Path, metavar="FILE", help="image list (default: the validation set's)")
        scans.set_defaults(run=run, evaluate=_scans, benchmark=name)

    for name, evaluate, text, parents in (
        ("landmarks", _landmarks, "error of the projected landmarks", [one, compared, chosen]),
        ("identity", _identity, "shape codes and renderings within and between subjects", [one, chosen]),
        ("transfer", _transfer, "renderings with detail codes of other photos", [one, chosen]),
    ):
        kind = kinds.add_parser(name, help=text, description=text, parents=parents)
        if name == "identity":
            kind.add_argument(
                "--identity-weights", type=Path, metavar="FILE", help="of another face recognition network"
            )
            kind.add_argument("--codes-only", action="store_true", help="no renderings, no face recognition")
        kind.set_defaults(run=run, evaluate=evaluate)

    text = "wrinkles of synthetic subjects against the truth"
    kind = kinds.add_parser("wrinkles", help=text, description=text, parents=[one])
    kind.add_argument(
        "--fitted", type=int, default=8, metavar="N", help="subjects whose codes are searched (default: 8)"
    )
    kind.set_defaults(run=run, evaluate=_wrinkles)

    text = "the relief network on synthetic people kept out"
    kind = kinds.add_parser("relief", help=text, description=text)
    kind.add_argument("--weights", type=Path, required=True, metavar="FILE", help="relief weights file")
    kind.add_argument("--people", type=int, default=40, metavar="N", help="people kept out (default: 40)")
    kind.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the table")
    kind.set_defaults(run=run, evaluate=_relief, device="cpu")

    text = "textures, identities and shapes of nonlinear face models and linear ones"
    kind = kinds.add_parser("nonlinear", help=text, description=text)
    kind.add_argument("--weights", type=Path, nargs="+", required=True, metavar="FILE", help="nonlinear weights files")
    kind.add_argument("--names", nargs="+", metavar="TEXT", help="their names (default: after the files)")
    kind.add_argument("--data", type=Path, metavar="FILE", help="photos that `fit` wrote, which no model learnt from")
    kind.add_argument("--validation", type=float, metavar="SHARE", help="only the subjects kept out with this share")
    kind.add_argument("--learnt-from", type=Path, metavar="FILE",
                      help="fitted photos that the models learnt from; a linear model is learnt from them too, without"
                      " the subjects kept out")  # fmt: skip
    kind.add_argument("--people", type=Path, metavar="DIR", help="heads of `synthetic --outside`, for shapes")
    kind.add_argument("--steps", type=int, default=100, metavar="N", help="of the optimiser (default: 100)")
    kind.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")
    kind.set_defaults(run=run, evaluate=_nonlinear, device="cpu")

    product = argparse.ArgumentParser(add_help=False)
    product.add_argument("--relief", type=Path, metavar="FILE", help="relief weights file (default: built in)")
    product.add_argument("--weights", default=BUILTIN_WEIGHTS, metavar="FILE", help="weights file (default: built in)")
    product.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")

    text = "wrinkles by the product's way from photos of synthetic people kept out"
    kind = kinds.add_parser("photo-relief", help=text, description=text, parents=[product])
    kind.add_argument("--people", type=int, default=24, metavar="N", help="people kept out (default: 24)")
    kind.add_argument("--photos", type=int, default=2, metavar="N", help="photos of each (default: 2)")
    kind.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the photos, made if missing (default: people, in --out)"
    )
    kind.set_defaults(run=run, evaluate=_photo_relief, device="cpu")

    text = "relief of two photos each of real people"
    kind = kinds.add_parser("relief-pairs", help=text, description=text, parents=[product])
    kind.add_argument("--data", type=Path, required=True, help="an index, or a folder with a folder for each person")
    kind.add_argument("--people", type=int, default=60, metavar="N", help="at most N people (default: 60)")
    kind.add_argument("--photos", type=int, default=4, metavar="N", help="of the first N photos of each (default: 4)")
    kind.add_argument(
        "--face", type=float, default=120.0, metavar="PIXELS", help="least size of the faces (default: 120)"
    )
    kind.set_defaults(run=run, evaluate=_relief_pairs, device="cpu")

    text = "what is taken for skin, and its colour, by the product's way on photos of synthetic people"
    kind = kinds.add_parser("skin", help=text, description=text, parents=[product])
    kind.add_argument("--people", type=int, default=40, metavar="N", help="people kept out (default: 40)")
    kind.set_defaults(run=run, evaluate=_skin, device="cpu")

    text = "how light people's skin becomes, on real photos whose people's lightness is known by eye"
    kind = kinds.add_parser("tones", help=text, description=text, parents=[product])
    kind.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos")
    kind.add_argument(
        "--tones", type=Path, metavar="FILE", help="how light their skin is (default: tones.csv in that folder)"
    )
    kind.set_defaults(run=run, evaluate=_tones, device="cpu")

    text = "what the shape from one photo says of other photos of the person"
    kind = kinds.add_parser("likeness", help=text, description=text)
    kind.add_argument("--data", type=Path, required=True, help="FOLDER/person/*.jpg, several photos of each person")
    kind.add_argument("--split", choices=SPLITS, default="report", help="part of the people (default: report)")
    kind.add_argument("--people", type=int, metavar="N", help="at most N people")
    kind.add_argument("--photos", type=int, default=3, metavar="N", help="at most N photos of each (default: 3)")
    text = "shapes of the product (default), of the shape encoder alone, or of the landmark fit alone"
    kind.add_argument("--way", choices=("refined", "encoder", "fit"), default="refined", help=text)
    kind.add_argument("--head", default=OPENHEAD, help="head model: openhead, or a head model file")
    kind.add_argument("--weights", default=BUILTIN_WEIGHTS, metavar="FILE", help="weights file (default: built in)")
    kind.add_argument(
        "--cache", type=Path, metavar="DIR", help="keeps landmarks and shapes of photos here (default: --out)"
    )
    kind.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the table")
    kind.set_defaults(run=run, evaluate=_likeness, device="cpu")

    text = "the validation losses of runs, step by step"
    kind = kinds.add_parser("training", help=text, description=text)
    kind.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN", help="folders of runs")
    kind.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the plot")
    kind.set_defaults(run=run, evaluate=_training, device="cpu")

    text = "the head model's mean and spread against those of people"
    kind = kinds.add_parser("anthropometry", help=text, description=text)
    kind.add_argument("--head", default=OPENHEAD, help="head model: openhead, or a head model file")
    kind.add_argument("--heads", type=int, default=1000, metavar="N", help="random heads (default: 1000)")
    kind.add_argument("--seed", type=int, default=0, help="of the random heads (default: 0)")
    kind.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")
    kind.set_defaults(run=run, evaluate=_anthropometry, device="cpu")

    text = "several weights side by side"
    ablation = kinds.add_parser("ablation", help=text, description=text, parents=[models, chosen])
    ablation.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FILE", help="weights files")
    ablation.add_argument("--names", nargs="+", metavar="TEXT", help="their names (default: after the files)")
    ablation.add_argument("--data", type=Path, help="an index or a folder of photos, for the table")
    ablation.add_argument(
        "--show", type=Path, nargs="+", metavar="PHOTO", help="photos of the grid (default: one in the public domain)"
    )
    ablation.set_defaults(run=run, evaluate=_ablation)


def run(options: argparse.Namespace) -> int:
    """Evaluates, prints the table, and says where the files are."""
    from deca.devices import choose_device

    options.device = choose_device(options.device)
    options.evaluate(options)
    print(f"\nWritten to {options.out}")
    return 0


def _scans(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from deca_training.evaluate import feng, now
    from deca_training.evaluate.scan_benchmark import measure, predict, write_benchmark

    if options.predictions and (options.weights or options.predict_only):
        raise OptionError(
            "Meshes in --predictions are measured as they are.", "Leave out --weights and --predict-only."
        )
    if options.benchmark == "now":
        needs_scans = not options.predict_only
        cases, protocol = now.now_cases(options.data, options.list, needs_scans), now.PROTOCOL
    else:
        cases, protocol = feng.feng_cases(options.data), feng.PROTOCOL
    if options.radius is not None:
        protocol = replace(protocol, radius=options.radius)
    protocol = replace(protocol, with_scale=not options.metrical)
    progress = sys.stderr.isatty()
    folder, without = options.predictions, {}
    if folder is None:
        folder = options.out / "predictions"
        without = predict(cases, _models(options), folder, progress=progress)
        for name, reason in without.items():
            print(f"no prediction for {name}: {reason}", file=sys.stderr)
        print(f"{len(cases) - len(without)} of {len(cases)} images have a prediction in {folder}")
    if options.predict_only:
        return
    name = options.name or (folder.name if options.predictions else _name(options))
    errors = measure(cases, folder, protocol, name, progress=progress)
    print(write_benchmark(options.out, options.benchmark, cases, errors, protocol, options.compare).markdown())


def _landmarks(options: argparse.Namespace) -> None:
    from deca_training.evaluate.landmarks import evaluate_landmarks
    from deca_training.evaluate.reports import write_report

    subjects = _subjects(options, options.data)
    table, curves = evaluate_landmarks(_models(options), subjects, name=_name(options), progress=sys.stderr.isatty())
    print(write_report(options.out, "landmarks", table, curves, unit="%", compare=options.compare).markdown())


def _identity(options: argparse.Namespace) -> None:
    from deca_training.evaluate.identity import evaluate_identity

    embedding = None
    if not options.codes_only:
        from deca_training.features.identity import load_identity_network

        embedding = load_identity_network(options.identity_weights).to(options.device).eval()
    table = evaluate_identity(
        _models(options),
        _subjects(options, options.data),
        embedding=embedding,
        by_fit=options.weights is None,
        name=_name(options),
        progress=sys.stderr.isatty(),
    )
    table.write(options.out, "identity")
    print(table.markdown())


def _transfer(options: argparse.Namespace) -> None:
    from deca_training.evaluate.detail_transfer import evaluate_transfer

    if options.weights is None:
        raise OptionError("Detail codes come from weights only.", "Name a weights file with --weights.")
    subjects = _subjects(options, options.data)
    table = evaluate_transfer(_models(options), subjects, name=_name(options), progress=sys.stderr.isatty())
    table.write(options.out, "transfer")
    print(table.markdown())


def _wrinkles(options: argparse.Namespace) -> None:
    from deca.networks import load_checkpoint
    from deca_training.data.synthetic import SyntheticSubjects
    from deca_training.evaluate.wrinkles import evaluate_wrinkles

    if options.weights is None:
        raise OptionError("Wrinkles come from weights only.", "Name a weights file with --weights.")
    checkpoint, subjects = load_checkpoint(options.weights), SyntheticSubjects(options.data)
    progress = sys.stderr.isatty()
    table = evaluate_wrinkles(checkpoint, subjects, fitted=options.fitted, name=_name(options), progress=progress)
    table.write(options.out, "wrinkles")
    print(table.markdown())


def _relief(options: argparse.Namespace) -> None:
    from deca.networks.relief import load_relief
    from deca_training.evaluate.relief import evaluate_relief

    table = evaluate_relief(load_relief(options.weights), options.out / "people", options.people)
    table.write(options.out, "relief")
    print(table.markdown())


def _photo_relief(options: argparse.Namespace) -> None:
    from deca_training.evaluate.photo_relief import evaluate_photo_relief

    folder, progress = options.data or options.out / "people", sys.stderr.isatty()
    tables = evaluate_photo_relief(_product(options), folder, options.people, options.photos, progress=progress)
    for table, stem in zip(tables, ("photo_relief", "photo_relief_steps"), strict=True):
        table.write(options.out, stem)
        print(table.markdown())


def _skin(options: argparse.Namespace) -> None:
    from deca_training.evaluate.skin import evaluate_skin

    table = evaluate_skin(_product(options), options.people, progress=sys.stderr.isatty())
    table.write(options.out, "skin")
    print(table.markdown())


def _tones(options: argparse.Namespace) -> None:
    from deca_training.closed_form.skin_tone import FILE, read_tones
    from deca_training.evaluate.tones import evaluate_tones

    tones = read_tones(options.tones or options.data / FILE)
    table = evaluate_tones(_product(options), options.data, tones, progress=sys.stderr.isatty())
    table.write(options.out, "tones")
    print(table.markdown())


def _relief_pairs(options: argparse.Namespace) -> None:
    from deca_training.evaluate.relief_pairs import evaluate_relief_pairs
    from deca_training.evaluate.subjects import Subjects

    subjects = Subjects(options.data, photos=options.photos)
    table = evaluate_relief_pairs(
        _product(options), subjects, options.people, options.face, progress=sys.stderr.isatty()
    )
    table.write(options.out, "relief_pairs")
    print(table.markdown())


def _likeness(options: argparse.Namespace) -> None:
    from deca.reconstruct.fit import LandmarkSolver
    from deca.reconstruct.models import load_models
    from deca_training.data.people import Landmarks
    from deca_training.evaluate.likeness import People, Shapes, average_of, evaluate_likeness

    models, progress = load_models(options.head, options.weights), sys.stderr.isatty()
    cache = options.cache or options.out
    landmarks = Landmarks(cache / "landmarks.npz")
    networks = "" if models.networks is None else models.networks.hash[:12]
    shapes = Shapes(models, options.way, cache / f"shapes_{options.way}_{models.head.hash[:12]}_{networks}.npz")
    solver = LandmarkSolver(models.head)
    average_S = average_of(solver, options.data, landmarks)
    people = People.of(options.data, options.split, options.people, options.photos, landmarks)
    shape_NS = shapes.find(people, progress=progress)
    table = evaluate_likeness(solver, people, shape_NS, average_S, progress=progress)
    table.write(options.out, "likeness")
    print(table.markdown())


def _product(options: argparse.Namespace) -> Models:
    """The product's models, perhaps with other networks."""
    from deca.networks.relief import load_relief
    from deca.reconstruct.models import Models, load_models

    product = load_models(weights=options.weights)
    relief = product.relief if options.relief is None else load_relief(options.relief)
    return Models(
        product.head, product.networks, product.albedo, product.device, relief, product.skin_map, product.skin_tone
    )


def _training(options: argparse.Namespace) -> None:
    from deca_training.evaluate.training import plot_training

    plot_training(options.runs, options.out / "training.png")


def _anthropometry(options: argparse.Namespace) -> None:
    from deca.head import load_head
    from deca_training.evaluate.anthropometry import anthropometry_tables, survey_heads

    head = load_head(options.head)
    measures, correlations = anthropometry_tables(survey_heads(head, options.heads, options.seed), head.name)
    for table, stem in ((measures, "anthropometry"), (correlations, "anthropometry_correlations")):
        table.write(options.out, stem)
        print(table.markdown())


def _ablation(options: argparse.Namespace) -> None:
    from deca.files import write_file
    from deca.reconstruct.models import load_models
    from deca.reconstruct.pictures import png_bytes
    from deca_training.evaluate.ablation import Run, ablation_grid, ablation_table, public_photos, read_photos
    from deca_training.evaluate.landmarks import default_name

    names = options.names or [default_name(path) for path in options.runs]
    if len(names) != len(options.runs) or len(set(names)) < len(names):
        raise OptionError(f"{len(options.runs)} runs need as many different names.", "Give them with --names.")
    decoders = [load_models(options.head, path, options.albedo, options.device) for path in options.runs]
    runs = [Run(name, models) for name, models in zip(names, decoders, strict=True)]
    photos = read_photos(options.show) if options.show else public_photos()
    write_file(options.out / "ablation.png", png_bytes(ablation_grid(runs, photos)))
    if options.data is not None:
        data = [_subjects(options, options.data) for _ in runs]
        table = ablation_table(runs, data, progress=sys.stderr.isatty())
        table.write(options.out, "ablation")
        print(table.markdown())


def _nonlinear(options: argparse.Namespace) -> None:
    from deca.appearance.albedo import load_albedo
    from deca.head import load_head
    from deca.networks.nonlinear import load_nonlinear
    from deca.reconstruct.nonlinear import NonlinearHead
    from deca_training.data.fitted import FittedPhotos
    from deca_training.data.synthetic import SyntheticSubjects
    from deca_training.evaluate import nonlinear
    from deca_training.features.identity import load_identity_network

    if options.data is None and options.people is None:
        raise OptionError("There is nothing to measure on.", "Give --data for textures or --people for shapes.")
    names = options.names or [path.stem for path in options.weights]
    if len(names) != len(options.weights) or len(set(names)) < len(names):
        raise OptionError(f"{len(options.weights)} weights need as many different names.", "Give them with --names.")
    head, albedo, progress = load_head(), load_albedo(), sys.stderr.isatty()
    models = [(name, load_nonlinear(path)) for name, path in zip(names, options.weights, strict=True)]
    for _, networks in models:
        networks.card.check_head(head)
        networks.requires_grad_(False)
    card = models[0][1].card
    if options.data is not None:
        face = NonlinearHead(head, albedo, card.decoders, card.sizes.expression)
        spaces = [nonlinear.linear_space(face)]
        if options.learnt_from is not None:
            learnt_from = FittedPhotos.load(options.learnt_from)
            if options.validation is not None:
                learnt_from, _ = learnt_from.split(options.validation)
            spaces.append(nonlinear.learnt_space(learnt_from, face, card.sizes.albedo))
        spaces += [nonlinear.nonlinear_space(name, networks, face) for name, networks in models]
        photos = FittedPhotos.load(options.data)
        if options.validation is not None:
            _, photos = photos.split(options.validation)
        embedding = load_identity_network().eval()
        table = nonlinear.evaluate_textures(
            photos, face, spaces, embedding=embedding, steps=options.steps, progress=progress
        )
        table.write(options.out, "textures")
        print(table.markdown())
    if options.people is not None:
        people = SyntheticSubjects(options.people)
        table = nonlinear.evaluate_shapes(people, head, albedo, models, steps=2 * options.steps, progress=progress)
        table.write(options.out, "shapes")
        print(table.markdown())


def _models(options: argparse.Namespace) -> Models:
    from deca.reconstruct.models import load_models

    return load_models(options.head, options.weights, options.albedo, options.device)


def _subjects(options: argparse.Namespace, data: Path) -> Subjects:
    from deca_training.evaluate.subjects import Subjects

    return Subjects(data, options.validation, options.seed, options.subjects, options.photos, options.device)


def _name(options: argparse.Namespace) -> str:
    from deca_training.evaluate.landmarks import default_name

    return options.name or default_name(options.weights)
