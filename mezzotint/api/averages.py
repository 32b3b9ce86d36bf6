"""Choose how long a finished run's weights are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mezzotint.api.opening import Data, counter, open_images, unseen
from mezzotint.config import shown
from mezzotint.errors import UsageError
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Settles
from mezzotint.progress import Progress, Silent
from mezzotint.runs import snapshots
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import load_model, require_contained
from mezzotint.runs.snapshots import Snapshot
from mezzotint.storage.files import replace_bytes
from mezzotint.storage.readers import inside, read_small
from mezzotint.storage.weights import load_into, replace_tensors
from mezzotint.training.cards import with_length
from mezzotint.training.previews import validation_losses
from mezzotint.training.profiles import LENGTHS, WIDEST

TRAIN_SO = "train with --set ema_snapshots=12"


@dataclass(frozen=True)
class Averaged:
    """A run whose averaging length was chosen.

    Attributes:
        length: the one written, relative to the run (sigma_rel of 2312.02696).
        losses: length -> loss on held-out images; empty where no images were given.
        error: of the mixed profile, as a share of its own length.
        path: the model folder.
    """

    length: float
    losses: Mapping[float, float]
    error: float
    path: Path


def average(
    run: str | Path,
    data: Data | None = None,
    length: float | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Averaged:
    """Give a finished run's model the average of another length (2312.02696, section 3).

    Args:
        run: a run that kept averages, trained with ``ema_snapshots``.
        data: images to compare lengths on; of a set with a held-out side, those are used.
        length: sigma_rel of the average; None takes the one with the least loss on ``data``.
        out: a folder for the model; by default the run's own model changes.
        progress: where to report.

    Raises:
        UsageError: neither images nor a length, a length out of range, an unfinished run, or one
            that kept no averages.
        MezzotintError: as for :func:`mezzotint.load`; nothing is changed then.
    """
    if length is None and data is None:
        raise UsageError("nothing to choose a length by", "length", "give --length or images")
    if length is not None and not 0 < length <= WIDEST:
        what = f"{shown(length)} is no length of an average"
        raise UsageError(what, "length", f"above 0 and at most {WIDEST}")
    folder, family, stored = _open(Path(run))
    show = progress or Silent()
    lengths = LENGTHS if length is None else (length,)
    losses = {} if data is None else _losses(family, stored, data, lengths, show)
    chosen = length if length is not None else min(losses, key=lambda each: losses[each])
    error = _put(family, stored, chosen)
    return Averaged(chosen, losses, error, _write(family, folder, out, chosen))


def _open(path: Path) -> tuple[RunFolder, Family, list[Snapshot]]:
    folder = RunFolder(path)
    require_contained(folder)
    folder.header()
    if not folder.finished():
        raise UsageError("the run is not finished", str(path), "the same train command resumes it")
    stored = snapshots.listing(folder.averages)
    if not stored:
        raise UsageError("the run kept no averages to choose from", str(path), TRAIN_SO)
    return folder, load_model(path), stored


def _losses(
    family: Family,
    stored: Sequence[Snapshot],
    data: Data,
    lengths: Sequence[float],
    show: Progress,
) -> dict[float, float]:
    """Loss on the same held-out images with the same draws for each length."""
    images = unseen(open_images(data, family.shape[1:], family.shape[0], show))
    count, losses = counter(show, "length"), {}
    for done, length in enumerate(lengths, 1):
        _put(family, stored, length)
        losses[length] = validation_losses(family, images)["validation_loss"]
        count(done, len(lengths))
    return losses


def _put(family: Family, stored: Sequence[Snapshot], length: float) -> float:
    tensors, found = snapshots.mix(stored, length)
    load_into(family, tensors, stored[-1].path)
    if isinstance(family, Settles):
        family.settle()
    return found.error


def _write(family: Family, run: RunFolder, out: str | Path | None, length: float) -> Path:
    card = with_length(read_small(inside(run.model, "README.md")), length)
    folder = Path(out) if out is not None else run.model
    if out is None:
        replace_tensors(inside(folder, "model.safetensors"), family.state_dict())
    else:
        family.save_pretrained(folder)
    replace_bytes(folder / "README.md", card.encode())
    return folder
