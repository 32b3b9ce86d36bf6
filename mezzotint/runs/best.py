"""The best averages that a run has shown, for a run that ends worse.

``averages/best.safetensors`` holds the averages, what they scored and the images seen until then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mezzotint.errors import DataError, RefusedError
from mezzotint.storage.files import make_folder
from mezzotint.storage.readers import inside
from mezzotint.storage.weights import load_number, load_tensors, replace_tensors

NAME, PREFIX = "best.safetensors", "average/"
SCORE, IMAGES = "score", "images"


@dataclass(frozen=True)
class Best:
    """What averages scored, higher is better, after how many images."""

    score: float
    images: int


def keep(folder: Path, best: Best, tensors: Mapping[str, Tensor]) -> None:
    """Write averages in place of the ones kept, whole or not at all.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    score = torch.tensor(best.score, dtype=torch.float64)
    told = {SCORE: score, IMAGES: torch.tensor(best.images)}
    named = {PREFIX + name: tensor for name, tensor in tensors.items()}
    replace_tensors(make_folder(folder) / NAME, {**named, **told})


def kept(folder: Path) -> Best | None:
    """What is kept; None where nothing is, or nothing whole."""
    if not (folder / NAME).is_file():
        return None
    try:
        path = inside(folder, NAME)
        score, images = load_number(path, SCORE), load_number(path, IMAGES)
    except (DataError, RefusedError):
        return None
    return None if score is None or images is None else Best(score, int(images))


def averages(folder: Path) -> dict[str, Tensor]:
    """The averages that are kept, by name.

    Raises:
        DataError: the file is damaged.
    """
    tensors = load_tensors(folder / NAME)
    return {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}


def forget(folder: Path) -> None:
    """Remove what is kept."""
    (folder / NAME).unlink(missing_ok=True)
