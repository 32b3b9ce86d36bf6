"""What is asked of images that are sampled: classes, a picture to start from, a mask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint.errors import UsageError, nearest
from mezzotint.seeds import ImageNoise

IMAGE_STRENGTH = 0.5
Label = str | int | Sequence[str | int] | None


@dataclass(frozen=True)
class Conditions:
    """What is asked of the images that are sampled together.

    Attributes:
        told: (N,) int64 kinds or (N, length) int64 words, -1 for nothing; (N, 2, length, width)
            float, words as vectors, those asked for and those to keep away from; or None.
        image: (N, C, H, W) to start from or to keep parts of, or None.
        mask: (N, 1, H, W), 1 where ``image`` is made anew, or None.
        strength: share of the levels that are walked through from ``image``.
    """

    told: Tensor | None = None
    image: Tensor | None = None
    mask: Tensor | None = None
    strength: float = 1.0

    def steps(self, whole: int) -> int:
        """How many of a sampler's steps are walked through."""
        return max(1, round(self.strength * whole))

    def part(self, rows: Sequence[int], device: torch.device) -> "Conditions":
        """The conditions of some of the images, on ``device``."""
        index = torch.tensor(rows)
        whole = (self.told, self.image, self.mask)
        told, image, mask = (None if t is None else t[index.to(t.device)].to(device) for t in whole)
        return Conditions(told, image, mask, self.strength)


def asked_for(told: Tensor) -> Tensor:
    """What is asked for, without what to keep away from."""
    return told[:, 0] if told.is_floating_point() else told


def with_and_without(told: Tensor) -> Tensor:
    """What is asked for, then for as many rows what to keep away from, or nothing."""
    if told.is_floating_point():
        return torch.cat([told[:, 0], told[:, 1]])
    return torch.cat([told, torch.full_like(told, -1)])


def make_conditions(
    shape: tuple[int, int, int],
    told: Tensor | None,
    count: int,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    strength: float | None = None,
) -> Conditions:
    """Conditions of ``count`` images of ``shape`` (C, H, W), checked.

    Without a strength, half of the levels are walked through from an image, all under a mask.

    Raises:
        UsageError: a mask or strength without an image, a wrong strength or shape.
    """
    if strength is None:
        strength = 1.0 if image is None or mask is not None else IMAGE_STRENGTH
    if image is None and (mask is not None or strength != 1):
        raise UsageError("mask and strength need an image to start from", where="image")
    if not 0 < strength <= 1:
        raise UsageError(f"strength={strength}", where="strength", fix="above 0, up to 1")
    pictures = _rows(image, count, shape, "image")
    masks = _rows(mask, count, (1, *shape[1:]), "mask")
    return Conditions(told, pictures, masks, strength)


def class_numbers(seeds: Sequence[int], label: Label, classes: Sequence[str]) -> list[int] | None:
    """The class each seed's image is asked to have, -1 for none; None where there are no classes.

    Args:
        seeds: one an image.
        label: name or number for all, or one each; None draws one from each seed; "none": no class.
        classes: the names.

    Raises:
        UsageError: there is no such class; the message names the nearest one.
    """
    if not classes:
        if label not in (None, "none"):
            raise UsageError("this model was trained without classes", where="label")
        return None
    if label is None:
        drawn = ImageNoise(seeds, purpose="label").rand() * len(classes)
        return [int(number) for number in drawn]
    wanted = [label] * len(seeds) if isinstance(label, str | int) else list(label)
    if len(wanted) != len(seeds):
        raise UsageError(f"{len(wanted)} labels for {len(seeds)} images", where="label")
    return [class_number(one, classes) for one in wanted]


def class_number(label: str | int, classes: Sequence[str]) -> int:
    """The number of a class given by name or number; "none" is -1.

    Raises:
        UsageError: there is no such class.
    """
    if label in classes:
        return classes.index(str(label))
    if label == "none":
        return -1
    number = int(label) if str(label).isdecimal() else len(classes)
    if number < len(classes):
        return number
    raise UsageError(
        f"there is no class '{label}'", where="label", fix=nearest(str(label), classes)
    )


def fixed_parts(count: int, rows: int) -> Iterator[list[int]]:
    """Row numbers in parts of one size, the last padded by repeating its last row.

    Kernels may round differently at other batch sizes; see :func:`families.base.chunked`.
    """
    for start in range(0, count, rows):
        yield [min(row, count - 1) for row in range(start, start + rows)]


def _rows(given: Tensor | None, count: int, shape: tuple[int, ...], name: str) -> Tensor | None:
    if given is None:
        return None
    if given.shape[1:] != shape or len(given) not in (1, count):
        raise UsageError(
            f"{name} has the shape {tuple(given.shape)}, not ({count}, {shape})", where=name
        )
    return given.expand(count, *shape)


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` of ``count`` positions, equally spaced, the last one included."""
    kept = min(count, max(1, wanted))
    return [round((index + 1) * count / kept) - 1 for index in range(kept)]
