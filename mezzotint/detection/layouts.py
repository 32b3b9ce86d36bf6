"""What the folders of a tested set say: which images are good, and where the defects are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.cache import printable
from mezzotint.data.dataset import Images
from mezzotint.data.folder import list_folder
from mezzotint.data.tree import File, Tree, is_image
from mezzotint.data.wholes import Wholes
from mezzotint.errors import DataError
from mezzotint.imaging.decode import Unreadable, decode
from mezzotint.imaging.resize import centred

GOOD = ("good", "normal", "ok")
TRUTH = "ground_truth"
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Masks:
    """Where the defects are, each mask as large as it is drawn and read when it is asked for.

    Attributes:
        tree: reads the files.
        files: position of an image -> the file of its mask; images without one have no defect.
    """

    tree: Tree
    files: dict[int, File]

    def at(self, position: int) -> Marks | None:
        """The mask of an image (H, W), true in defects; None where it has no defect.

        Raises:
            DataError: it is no picture that can be read.
        """
        file = self.files.get(position)
        if file is None:
            return None
        try:
            content = self.tree.read(file)
            return np.asarray(decode(content, file.name, 1)[..., 0] > 127)
        except (Unreadable, OSError) as error:
            raise DataError(f"a mask cannot be read: {error}", printable(file.name)) from error


@dataclass(frozen=True)
class Tested:
    """Images to score and what is known of them.

    Attributes:
        images: the images, of the model's size, or pictures of their own sizes.
        kinds: the folder of each, or None.
        bad: (n,) marks; None where no folder says which images are good.
        masks: where their defects are; None where that is not known.
        left_out: names of numbers -> why they cannot be had.
    """

    images: Images | Wholes
    kinds: tuple[str | None, ...]
    bad: Marks | None
    masks: Masks | None
    left_out: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """A name each."""
        return names_of(self.images)

    @property
    def packed(self) -> Images:
        """The images, of the model's size.

        Raises:
            TypeError: they are pictures of their own sizes.
        """
        if isinstance(self.images, Wholes):
            raise TypeError("pictures of their own sizes are scanned by tiles")
        return self.images

    @property
    def wholes(self) -> Wholes:
        """The pictures, of their own sizes.

        Raises:
            TypeError: they are images of the model's size.
        """
        if not isinstance(self.images, Wholes):
            raise TypeError("images of the model's size are not scanned by tiles")
        return self.images

    def mask_for(self, position: int, heat: NDArray[np.floating]) -> Marks:
        """The mask of an image, at the size it is drawn, of the part that the heat map shows.

        An image that was brought to the model's aspect is shown in its middle only.
        """
        mask = None if self.masks is None else self.masks.at(position)
        if mask is None:
            return np.zeros(heat.shape, dtype=bool)
        return mask if isinstance(self.images, Wholes) else mask[centred(mask.shape, heat.shape)]


def open_tested(data: str | Path | Images, load: Callable[[str | Path], Images | Wholes]) -> Tested:
    """Images with ``good`` and other folders, or a set laid out like MVTec AD.

    Of a folder with ``test`` and ``train`` or ``ground_truth`` in it, ``test`` is read. Masks are
    ``ground_truth/KIND/NAME_mask.png`` beside the images' folders or beside ``test``.

    Args:
        data: a folder or anything else that holds images.
        load: reads it, at the model's size or as it is.

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


def kinds_of(images: Images | Wholes) -> tuple[str | None, ...]:
    """The class of each image."""
    if isinstance(images, Wholes):
        return tuple(entry.label for entry in images.entries)
    labels = images.labels_of(range(len(images)))
    if labels is None:
        return (None,) * len(images)
    return tuple(None if label < 0 else images.classes[label] for label in labels)


def names_of(images: Images | Wholes) -> tuple[str, ...]:
    """The name of each image."""
    return images.names if isinstance(images, Wholes) else images.names_of(range(len(images)))


def bad_marks(kinds: tuple[str | None, ...]) -> Marks | None:
    """(n,) marks of the images outside good folders; None where there is no such folder."""
    good = np.array([kind is not None and kind.casefold() in GOOD for kind in kinds])
    return ~good if good.any() else None


def read_masks(truth: Path, images: Images | Wholes, bad: Marks) -> tuple[Masks | None, str]:
    """The masks of the bad images; or why they cannot be had.

    Raises:
        DataError: a mask is no picture that can be read.
    """
    listing = list_folder(truth)
    files = {_stem(file.name): file for file in listing.files if is_image(file.name)}
    names, masks, marked = names_of(images), Masks(listing.tree, {}), False
    for at in np.flatnonzero(bad).tolist():
        file = files.get(_stem(names[at]) + "_mask") or files.get(_stem(names[at]))
        if file is None:
            return None, f"there is no mask of {names[at]} in {TRUTH}"
        masks.files[at] = file
        marked |= bool(np.any(masks.at(at)))  # read now, so that none fails later
    return (masks, "") if marked else (None, f"no mask in {TRUTH} marks a pixel")


def _stem(name: str) -> str:
    return printable(name.rpartition(".")[0])


def _without_truth(images: Images | Wholes) -> Images | Wholes:
    """Masks that lie beside the images are not images to score."""
    kept = [at for at, kind in enumerate(kinds_of(images)) if kind != TRUTH]
    return images if len(kept) == len(images) else images.subset(kept)
