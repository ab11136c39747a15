"""Photos to faces, one after another: the same steps for the button, the command line and the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..client import ClientError, Job, RequestCancelled, Session
from ..protocol.conventions import BUILTIN_WEIGHTS, OPENHEAD
from ..protocol.messages import DescribeHead, FaceReply, HeadReply, LeftOutPhoto, ReconstructPerson, ReconstructPhoto

PICTURE_SIZE = 4096
"""Pixels on the longer side of the photo behind the camera: more than screens have, 64 MB on the graphics card."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one photo, or of the photos of one person.

    Attributes:
        photo: Path of the photo, or of the person's first.
        head: The head model of the faces; None when there is an error.
        faces: The faces found, largest first; of a person, that on each photo, as `PersonReply` has them.
        error: Why there are none.
        notices: What the user should know of how they were made.
        picture: The upright photo as `ReconstructReply` has it.
        pictures: Those of a person's faces.
        left_out: Photos that tell nothing of the person.
        sheet: The picture for a contact sheet as `ReconstructReply` has it.
    """

    photo: str
    head: HeadReply | None = None
    faces: tuple[FaceReply, ...] = ()
    error: ClientError | None = None
    notices: tuple[str, ...] = ()
    picture: NDArray[np.uint8] | None = None
    pictures: tuple[NDArray[np.uint8] | None, ...] = ()
    left_out: tuple[LeftOutPhoto, ...] = ()
    sheet: NDArray[np.uint8] | None = None


def reconstruct_photos(
    session: Session,
    photos: Iterable[str],
    texture_size: int = 1024,
    max_faces: int = 1,
    weights: str = BUILTIN_WEIGHTS,
    coarse: str = "auto",
    head: str = OPENHEAD,
    picture_size: int = PICTURE_SIZE,
    described: HeadReply | None = None,
    paint_hair: bool = False,
    sheet_size: int = 0,
) -> Iterator[Job | Outcome]:
    """Reconstructs photos in turn; failures are outcomes, and the next photo follows.

    Yields each `Job` that is to be waited for (wait for it, or poll it from a timer, before asking for the next item),
    and an `Outcome` for each photo.

    Args:
        session: The line to the backend.
        photos: Paths on the backend's machine.
        texture_size: Rows and columns of each texture; 0 for none.
        max_faces: At most so many faces of each photo.
        weights: Weights file on the backend's machine, or "" for the built-in ones, if any.
        coarse: As in `ReconstructPhoto`.
        head: Name of a head model, or the path of its file on the backend's machine.
        picture_size: Pixels on the longer side of the upright photo that comes along; 0 for none.
        described: What the backend has said of that head model; None to ask it.
        paint_hair, sheet_size: As in `ReconstructPhoto`.

    Raises:
        RequestCancelled: A job that had been yielded was cancelled.
    """
    model = described
    for photo in photos:
        try:
            if model is None:
                asked = session.submit(DescribeHead(head))
                yield asked
                model = asked.result()
            request = ReconstructPhoto(
                photo,
                head,
                texture_size=texture_size,
                max_faces=max_faces,
                weights=weights,
                coarse=coarse,
                picture_size=picture_size,
                paint_hair=paint_hair,
                sheet_size=sheet_size,
            )
            job = session.submit(request)
            yield job
            reply = job.result()
            yield Outcome(photo, model, reply.faces, notices=reply.notices, picture=reply.picture, sheet=reply.sheet)
        except RequestCancelled:
            raise
        except ClientError as error:
            yield Outcome(photo, error=error)


def reconstruct_person(
    session: Session,
    photos: Sequence[str],
    texture_size: int = 1024,
    weights: str = BUILTIN_WEIGHTS,
    head: str = OPENHEAD,
    picture_size: int = PICTURE_SIZE,
    described: HeadReply | None = None,
    paint_hair: bool = False,
    sheet_size: int = 0,
) -> Iterator[Job | Outcome]:
    """Reconstructs one person from several photos; a failure is an outcome.

    Yields and arguments are those of `reconstruct_photos`, with one `Outcome` in all.

    Raises:
        RequestCancelled: A job that had been yielded was cancelled.
    """
    try:
        model = described
        if model is None:
            asked = session.submit(DescribeHead(head))
            yield asked
            model = asked.result()
        request = ReconstructPerson(
            tuple(photos),
            head,
            texture_size=texture_size,
            weights=weights,
            picture_size=picture_size,
            paint_hair=paint_hair,
            sheet_size=sheet_size,
        )
        job = session.submit(request)
        yield job
        reply = job.result()
        pictures = tuple(picture.jpeg for picture in reply.pictures)
        yield Outcome(
            photos[0],
            model,
            reply.faces,
            notices=reply.notices,
            pictures=pictures,
            left_out=reply.left_out,
            sheet=reply.sheet,
        )
    except RequestCancelled:
        raise
    except ClientError as error:
        yield Outcome(photos[0], error=error)


def wait_for_outcome(steps: Iterator[Job | Outcome]) -> Outcome:
    """The one outcome of a photo, a person or a video, blocking on each job.

    Raises:
        ClientError: It is a failure.
    """
    (outcome,) = wait_for_outcomes(steps)
    if outcome.error is not None:
        raise outcome.error
    return outcome


def wait_for_outcomes(steps: Iterator[Job | Outcome]) -> Iterator[Outcome]:
    """The outcomes of `reconstruct_photos`, blocking on each job."""
    for step in steps:
        if isinstance(step, Outcome):
            yield step
            continue
        try:
            step.wait()
        except RequestCancelled:
            raise
        except ClientError:
            continue  # its outcome follows and carries the error
