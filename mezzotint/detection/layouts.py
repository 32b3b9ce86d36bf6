"""What the folders of a tested set say: which images are good, and where the defects are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.cache import printable
from mezzotint.data.dataset import Images
from mezzotint.data.folder import list_folder
from mezzotint.data.tree import File, is_image
from mezzotint.errors import DataError
from mezzotint.imaging.decode import Unreadable, decode, fit

GOOD = ("good", "normal", "ok")
TRUTH = "ground_truth"
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Tested:
    """Images to score and what is known of them.

    Attributes:
        images: the images.
        kinds: the folder of each, or None.
        bad: (n,) marks; None where no folder says which images are good.
        masks: (n, H, W), true in defects; None where they are not known.
        left_out: names of numbers -> why they cannot be had.
    """

    images: Images
    kinds: tuple[str | None, ...]
    bad: Marks | None
    masks: Marks | None
    left_out: dict[str, str]


def open_tested(data: str | Path | Images, load: Callable[[str | Path], Images]) -> Tested:
    """Images with ``good`` and other folders, or a set laid out like MVTec AD.

    Of a folder with ``test`` and ``train`` or ``ground_truth`` in it, ``test`` is read. Masks are
    ``ground_truth/KIND/NAME_mask.png`` beside the images' folders or beside ``test``.

    Args:
        data: a folder or anything else that holds images.
        load: reads it at the model's size.

    Raises:
        MezzotintError: the images or a mask cannot be read.
    """
    root, truth = places(data)
    images = _without_truth(load(root) if not isinstance(root, Images) else root)
    kinds = kinds_of(images)
    bad = bad_marks(kinds)
    if bad is None:
        why = f"no folder says which images are good: name one {' or '.join(GOOD)}"
        return Tested(images, kinds, None, None, dict.fromkeys(("image", "pixel"), why))
    masks, why = (None, f"there is no folder {TRUTH}") if truth is None else (
        read_masks(truth, images, bad)
    )  # fmt: skip
    return Tested(images, kinds, bad, masks, {} if masks is not None else {"pixel": why})


def places(data: str | Path | Images) -> tuple[str | Path | Images, Path | None]:
    """Where the images are, and the folder of masks if there is one."""
    if isinstance(data, Images):
        return data, None
    root = Path(data).expanduser()
    if (root / "test").is_dir() and ((root / "train").is_dir() or (root / TRUTH).is_dir()):
        root = root / "test"
    truth = root.parent / TRUTH if root.name == "test" else root / TRUTH
    named = root if root.is_dir() else data
    return named, truth if truth.is_dir() else None


def kinds_of(images: Images) -> tuple[str | None, ...]:
    """The class of each image."""
    labels = images.labels_of(range(len(images)))
    if labels is None:
        return (None,) * len(images)
    return tuple(None if label < 0 else images.classes[label] for label in labels)


def bad_marks(kinds: tuple[str | None, ...]) -> Marks | None:
    """(n,) marks of the images outside good folders; None where there is no such folder."""
    good = np.array([kind is not None and kind.casefold() in GOOD for kind in kinds])
    return ~good if good.any() else None


def read_masks(truth: Path, images: Images, bad: Marks) -> tuple[Marks | None, str]:
    """Masks (n, H, W) at the images' size; or why they cannot be had.

    Raises:
        DataError: a mask is no picture that can be read.
    """
    listing = list_folder(truth)
    files = {_stem(file.name): file for file in listing.files if is_image(file.name)}
    masks = np.zeros((len(images), *images.size), dtype=bool)
    for at in np.flatnonzero(bad).tolist():
        name = images.names_of([at])[0]
        file = files.get(_stem(name) + "_mask") or files.get(_stem(name))
        if file is None:
            return None, f"there is no mask of {name} in {TRUTH}"
        masks[at] = _mask(listing.tree.read(file), file, images.size)
    if not masks.any():
        return None, f"no mask in {TRUTH} marks a pixel"
    return masks, ""


def _mask(content: bytes, file: File, size: tuple[int, int]) -> Marks:
    try:
        return np.asarray(fit(decode(content, file.name, 1, at_least=size), size)[..., 0] > 127)
    except (Unreadable, OSError) as error:
        raise DataError(f"a mask cannot be read: {error}", printable(file.name)) from error


def _stem(name: str) -> str:
    return printable(name.rpartition(".")[0])


def _without_truth(images: Images) -> Images:
    """Masks that lie beside the images are not images to score."""
    kept = [at for at, kind in enumerate(kinds_of(images)) if kind != TRUTH]
    return images if len(kept) == len(images) else images.subset(kept)
