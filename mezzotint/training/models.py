"""A model before its first step and after its last."""

import shutil

import numpy as np
import torch

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Prepares, Settles, Steadies
from mezzotint.images import to_float
from mezzotint.runs.folder import RunFolder
from mezzotint.storage import faults
from mezzotint.storage.files import storing, sync_folder, write_bytes

LOOKED_AT, MOST_NUMBERS = 10_000, 2**27  # images, and numbers of theirs in memory


def prepare(family: Family, train: Images) -> None:
    """Let a new model look at training images, every process at the same ones."""
    if not isinstance(family, Prepares) or family.prepared:
        return
    most = min(LOOKED_AT, max(1, MOST_NUMBERS // train.pixels[0].size), len(train))
    rows = np.linspace(0, len(train) - 1, most).astype(int)
    labels = train.labels_of(rows)
    images = family.inward(to_float(train.gather(rows)))
    family.prepare(images, None if labels is None else torch.from_numpy(labels))


def settle(family: Family) -> None:
    """Make averages that have just been put in place ready for use."""
    family.eval()
    if isinstance(family, Settles):
        family.settle()


def steady(family: Family, alarms: int) -> str:
    """Make a family that can collapse as careful as so many alarms call for; in words, or ''."""
    return family.steady(alarms) if isinstance(family, Steadies) else ""


def write_model(family: Family, folder: RunFolder, card: str) -> None:
    """The model folder appears whole, by a rename.

    Args:
        family: with the weights that are kept.
        folder: of the run.
        card: its README.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    building = folder.path / ".model.tmp"
    shutil.rmtree(building, ignore_errors=True)
    try:
        family.save_pretrained(building)
        with storing(building):
            write_bytes(building / "README.md", card.encode())
            sync_folder(building)
            faults.point("model.rename")
            building.rename(folder.model)
            sync_folder(folder.path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
