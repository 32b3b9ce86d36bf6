"""Make new images, and show how they come to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mezzotint.api.opening import Data, counter, open_images, open_model, unseen
from mezzotint.config import at_least
from mezzotint.data.dataset import Images
from mezzotint.data.tree import is_image
from mezzotint.errors import UsageError, nearest
from mezzotint.families.base import Family
from mezzotint.families.capabilities import (
    Films,
    Generates,
    Interpolates,
    Labels,
    Prompts,
    Reconstructs,
    Samples,
)
from mezzotint.families.inverting import invert
from mezzotint.images import read_image, save_image, save_images, to_float, to_uint8
from mezzotint.inspection.latents import squared_errors
from mezzotint.progress import Progress, Silent
from mezzotint.seeds import image_seeds
from mezzotint.training.previews import compared_sheet, damaged, film_sheet, rebuilt

PICTURES = {"image": None, "mask": 1}


def sample(
    model: str | Path | Family,
    n: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    batch: int = 64,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """New images from a model.

    Args:
        model: a run folder, a model folder or a model.
        n: how many; None: 64, and 4 of a pipeline of Stable Diffusion.
        seed: image i has the seed ``seed + i`` and depends on nothing else.
        out: ``.png`` for a grid, ``.npz`` for arrays, else a folder with a file an image.
        batch: images at a time; changes no pixel.
        progress: where to report; by default nowhere.
        options: what the family's ``sample`` takes, such as ``label``, ``prompt``, ``solver``,
            ``steps``, ``guidance``; ``image`` and ``mask`` may be picture files.

    Returns:
        uint8 (n, H, W, C).

    Raises:
        UsageError: the family has no distribution to sample from, or no such option.
    """
    at_least(1, n=n, batch=batch)
    family = _sampler(model, options)
    seeds = image_seeds(seed, family.usual if n is None else n)
    given = {key: picture_rows(family, key, value) for key, value in options.items()}
    if "watch" in family.sampling and progress is not None:
        given["watch"] = counter(progress, "step")
    pixels = to_uint8(family.sample(seeds, batch=batch, **given))  # type: ignore[operator]
    if out is not None:
        labels = label_names(family, seeds, options.get("label"))
        record = {**maker(family), "seed": seed, **recorded(options)}
        save_images(out, pixels, seeds, labels, record, texts(family, seeds, options.get("prompt")))
    return pixels


def maker(family: Family) -> dict[str, str]:
    """What a picture says of the model that made it."""
    return {"model": family.kind} | ({"source": family.source} if family.source else {})


def film(
    model: str | Path | Family,
    n: int = 4,
    seed: int = 0,
    out: str | Path | None = None,
    frames: int = 10,
    **options: Any,
) -> Any:
    """How samples come out of noise: x_t above the predicted x_0, a column a moment.

    Args:
        model: a run folder, a model folder or a model.
        n: how many samples, one strip each.
        seed: as for :func:`sample`.
        out: the picture.
        frames: columns.
        options: as for :func:`sample`.

    Returns:
        The sheet, uint8 (H, W, C).

    Raises:
        UsageError: the family makes its images in one go.
    """
    at_least(1, n=n, frames=frames)
    family = _sampler(model, options)
    if not isinstance(family, Films):
        raise UsageError(f"{family.kind} makes its images in one go", fix="leave trajectory out")
    given = {key: picture_rows(family, key, value) for key, value in options.items()}
    sheet = film_sheet(*family.film(image_seeds(seed, n), frames, **given))
    if out is not None:
        save_image(out, sheet, {**maker(family), "seed": seed, **recorded(options)})
    return sheet


def interpolate(
    model: str | Path | Family,
    first: int,
    second: int,
    n: int = 10,
    out: str | Path | None = None,
    **options: Any,
) -> Any:
    """A walk from the image of one seed to that of another, in ``n`` pictures.

    Args:
        model: a run folder, a model folder or a model.
        first, second: the seeds.
        n: pictures, both ends included.
        out: as for :func:`sample`.
        options: as for :func:`sample`.

    Returns:
        uint8 (n, H, W, C).

    Raises:
        UsageError: the family cannot, or the walk is to start from a picture.
    """
    at_least(2, n=n)
    family = _sampler(model, options)
    if not options.keys().isdisjoint({*PICTURES, "strength"}):
        raise UsageError("a walk between seeds starts from noise", fix="leave the picture out")
    if not isinstance(family, Interpolates):
        raise UsageError(f"{family.kind} does not walk between seeds")
    pixels = to_uint8(family.interpolate(first, second, n, **options))
    if out is not None:
        record = {**maker(family), "to_seed": second, **recorded(options)}
        labels = label_names(family, [first], options.get("label"))
        told = texts(family, [first] * n, options.get("prompt"))
        save_images(out, pixels, [first] * n, labels and labels * n, record, told)
    return pixels


def reconstruct(
    model: str | Path | Family,
    data: Data,
    n: int | None = 64,
    noise: float | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **search: int,
) -> Any:
    """A model's version of images it was not trained on.

    Args:
        model: a run folder, a model folder or a model.
        data: images, or one picture file; of a set with a held-out side, those are used.
        n: how many at the most; None for all.
        noise: damage the images with this strength first and rebuild them from that.
        out: ``.png`` for originals above damaged above rebuilt; ``.npz`` for the arrays
            ``images``; else a folder with a file an image.
        progress: where to report, the error too.
        search: of a model without an encoder, whose latents are searched for: ``seed``, ``steps``
            and ``starts`` of :func:`mezzotint.families.inverting.invert`.

    Returns:
        uint8 (n, H, W, C).

    Raises:
        UsageError: the family does not reconstruct.
    """
    at_least(1, n=n)
    at_least(0, noise=noise)
    show = progress or Silent()
    family = open_model(model)
    if not isinstance(family, Reconstructs | Generates):
        raise UsageError(f"{family.kind} does not reconstruct")
    originals = _originals(family, data, n)
    seen = damaged(family, originals, noise)
    pixels = rebuilt(family, seen) if isinstance(family, Reconstructs) else None
    if pixels is None:
        steps = counter(show, "step of the search")
        pixels = to_uint8(invert(family, to_float(seen), watch=steps, **search).images)
    show.say(_error_of(originals, pixels))
    if out is not None and Path(out).suffix.lower() == ".png":
        save_image(out, compared_sheet(originals, seen, pixels), {"model": family.kind})
    elif out is not None:
        save_images(out, pixels, range(len(pixels)), metadata={"model": family.kind})
    return pixels


def _originals(family: Family, data: Data, n: int | None) -> Any:
    """The images to rebuild, uint8 (n, H, W, C): of a set its unseen side, or one picture file."""
    channels, height, width = family.shape
    if not isinstance(data, Images) and is_image(str(data)) and Path(data).is_file():
        return read_image(data, (height, width), channels)[None]
    side = unseen(open_images(data, (height, width), channels, Silent()))
    return side.gather(range(len(side) if n is None else min(n, len(side))))


def _error_of(originals: Any, pixels: Any) -> str:
    errors = squared_errors(originals, pixels)
    told = f"mean squared error {errors.mean():.4g} of pixels in [0, 1], {len(errors)} images"
    return f"{told}, from {errors.min():.4g} to {errors.max():.4g}" if len(errors) > 1 else told


def _sampler(model: str | Path | Family, options: Mapping[str, Any]) -> Family:
    """The model, which has to sample and to know the options.

    Raises:
        UsageError: it does not.
    """
    family = open_model(model)
    where = str(model) if not isinstance(model, Family) else ""
    if not isinstance(family, Samples):
        what = f"{family.kind} has no distribution to sample from"
        raise UsageError(what, where, fix="train a vae to sample, or use reconstruct")
    for name in options:
        if name not in family.sampling:
            what = f"{family.kind} samples without '{name}'"
            fix = nearest(name, sorted(family.sampling - {"watch"})) if family.sampling else ""
            raise UsageError(what, where, fix or "leave it out")
    return family


def picture_rows(family: Family, name: str, value: Any) -> Any:
    """A picture file as float (1, C, H, W) of the family's size; any other option as it is.

    Args:
        family: gives size and channels.
        name: of the option; ``image`` becomes [-1, 1], ``mask`` grey, 0 to 1, white made anew.
        value: of the option.

    Raises:
        MissingInputError, DataError: the file is not there or no picture.
    """
    if name not in PICTURES or not isinstance(value, str | Path):
        return value
    channels, height, width = family.shape
    pixels = read_image(value, (height, width), PICTURES[name] or channels)
    rows: Tensor = to_float(pixels[None])
    return rows * 0.5 + 0.5 if name == "mask" else rows


def label_names(family: Family, seeds: Sequence[int], label: Any) -> list[str | None] | None:
    """The class name of each sample, None for none; None where the family has no classes."""
    numbers = family.labels_of(seeds, label) if isinstance(family, Labels) else None
    if numbers is None:
        return None
    classes = family.config.classes
    return [None if number < 0 else classes[number] for number in numbers]


def texts(family: Family, seeds: Sequence[int], prompt: Any) -> list[str] | None:
    """The prompt of each sample; None where the family reads no text."""
    return family.prompts_of(seeds, prompt) if isinstance(family, Prompts) else None


def picture_record(
    family: Family, seed: int, index: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What the file of image ``index`` of a sample says of how it was made.

    Args:
        family: the model.
        seed: of the sample; the image has the seed ``seed + index``.
        index: of the image.
        options: of the sample.
    """
    names = label_names(family, [seed + index], options.get("label"))
    own = {"seed": seed + index, "index": index, "label": names[0] if names else None}
    told = texts(family, [seed + index], options.get("prompt"))
    own |= {"prompt": told[0]} if told else {}
    return {**maker(family), "seed": seed, **recorded(options), **own}


def recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a picture's record can hold them: tensors and functions are left out."""
    plain = (str, int, float, bool)
    kept = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    return {key: value for key, value in kept.items() if isinstance(value, plain)}
