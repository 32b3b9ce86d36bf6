"""One training run from start, or from where it stopped, to the finished model in its folder."""

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mezzotint.data.dataset import Images
from mezzotint.errors import DataError, NonFiniteError, Stopped, StorageError, TrainingError
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Prepares, Settles
from mezzotint.images import to_float
from mezzotint.progress import Progress, Silent
from mezzotint.runs import checkpoint, snapshots
from mezzotint.runs.folder import RunFolder
from mezzotint.storage import faults
from mezzotint.storage.files import storing, sync_folder, write_bytes
from mezzotint.storage.weights import first_non_finite
from mezzotint.training.cards import model_card
from mezzotint.training.curves import draw_curves
from mezzotint.training.devices import together
from mezzotint.training.feeding import Feed
from mezzotint.training.few_images import copying
from mezzotint.training.history import History
from mezzotint.training.loop import Trainer
from mezzotint.training.previews import draw_previews, validation_losses
from mezzotint.training.recipe import Recipe
from mezzotint.training.records import Record
from mezzotint.training.signals import StopRequest
from mezzotint.training.trackers import open_tracker

MAX_ROLLBACKS = 3
SUSPECTS_SHOWN = 8
LOOKED_AT = 10_000
PACE_KNOWN = 0.01  # share of a run after which its length in images is foreseen
_RANGES = "try a lower lr, clip=1, or precision=fp32; `mezzotint data check` looks for bad images"


@dataclass
class Session:
    """A run at work.

    Attributes:
        family: the model that is trained.
        data: train and held-out images.
        recipe: how.
        folder: where everything is written.
        header: what ``run.json`` holds.
        show: where progress goes.
    """

    family: Family
    data: Images
    recipe: Recipe
    folder: RunFolder
    header: Mapping[str, Any]
    show: Progress

    def run(self) -> None:
        """Train to the end, resuming from the newest checkpoint; leaves the averages in place.

        Raises:
            BusyError: another process trains this run.
            Stopped: a signal came; a checkpoint is complete.
            TrainingError: the loss stays non-finite after three roll-backs.
            StorageError, CannotCreateError: the folder cannot be written.
        """
        if self.folder.newest_checkpoint() is None:
            self._prepare()
        stop = StopRequest()
        feed = Feed(self.data.train, self.recipe.batch)
        self.trainer = Trainer(self.family, feed, self.recipe, lambda: bool(stop))
        self.leads = self.trainer.accelerator.is_main_process
        if not self.leads:
            self.show = Silent()
        with together(), self.folder.hold() if self.leads else nullcontext(), stop.listening():
            self._start()
            self._train_through_rollbacks()
            if self.trainer.progress < 1:  # a signal came, here or to another process
                raise Stopped(int(stop.signal_number or 2), str(self.folder.path))
            self._finish()

    def _prepare(self) -> None:
        """Let a new model look at training images, every process at the same ones."""
        if not isinstance(self.family, Prepares) or self.family.prepared:
            return
        train = self.data.train
        rows = np.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).astype(int)
        labels = train.labels_of(rows)
        images = to_float(train.gather(rows))
        self.family.prepare(images, None if labels is None else torch.from_numpy(labels))

    def _start(self) -> None:
        self.history = History(self.folder, self.recipe.log_every)
        self.tracker = open_tracker(self.recipe.tensorboard and self.leads, self.folder.path)
        self._previews = 0
        self._suspects: set[int] = set()
        if self.leads:
            self.folder.sweep()
            if not self.folder.exists():
                self.folder.write_header(self.header)
        saved = self.folder.newest_checkpoint()
        if saved is not None:
            self._restore(saved)
            self._settle(saved.path)
            self.show.say(f"resuming {self.folder.path} at {self.trainer.images:,} images")
        else:
            if self.leads:
                self.folder.rewind(-1)
            self._save()
        self._await_others()

    def _settle(self, restored: Path) -> None:
        if self.leads:
            for path in checkpoint.settle(self.folder.checkpoints, restored, self.recipe.keep):
                self.show.say(f"warning: {path} was damaged and is removed")

    def _await_others(self) -> None:
        self.trainer.accelerator.wait_for_everyone()

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        self.trainer.restore(saved)
        self.history.restore(saved.state["history"])
        self._previews = saved.state["previews"]
        self._mark_saved()
        if self.leads:
            self.folder.rewind(self.trainer.images)

    def _train_through_rollbacks(self) -> None:
        while True:
            try:
                for record in self.trainer.records():
                    self._take(record)
                self._save()
                return
            except NonFiniteError as error:
                self._roll_back(error)

    def _take(self, record: Record) -> None:
        """Everything that happens after an iteration; the leading process writes."""
        self.history.add(record)
        if self.leads and self.history.due(record):
            self._log(record)
        if self.leads and snapshots.due(
            self.folder.averages, self.recipe.ema_snapshots, record.progress
        ):
            self._take_snapshot(record)
        if record.seconds - self._saved_at >= self.recipe.checkpoint_seconds:
            self._save()

    def _take_snapshot(self, record: Record) -> None:
        profiles = self.trainer.averages.profiles.items()
        tensors = {width: average.tensors for width, average in profiles}
        snapshots.take(self.folder.averages, record.images, record.step, tensors)

    def _log(self, record: Record) -> None:
        extra = self._look(record) if self._preview_due(record) else {}
        self._warn_of_copying(record)
        line = self.history.write(record, extra)
        self.tracker(line)
        self.folder.beat()
        speed = record.images / max(record.seconds, 1e-9)
        left = record.seconds * (1 - record.progress) / max(record.progress, 1e-9)
        told = [f"{k} {line[v]:.5g}" for k, v in self.family.headline.items() if v in line]
        note = "  ".join([*told, f"{speed:,.0f} images/s"])
        self.show.update(record.progress, 1.0, note, left)

    def _warn_of_copying(self, record: Record) -> None:
        """Once, when the pace shows how often the images will be seen."""
        if self._warned or not self.family.copies or record.progress < PACE_KNOWN:
            return
        warning = copying(len(self.data.train), record.images / record.progress)
        if warning:
            self.show.say(warning)
            self._warned = True

    def _preview_due(self, record: Record) -> bool:
        return record.progress * self.recipe.previews >= self._previews + 1 or record.progress >= 1

    def _look(self, record: Record) -> dict[str, float]:
        """Validation numbers and pictures of the averaged model; a failure costs a warning."""
        self._previews = int(record.progress * self.recipe.previews)
        if first_non_finite(self.trainer.averages.main.tensors) is not None:
            return {}  # the step after this, or the checkpoint, will find out and roll back
        with self.trainer.averages.main.applied():
            self._settle_weights()
            try:
                draw_previews(self.family, self.data.held_out, self.folder.samples, record.images)
                faults.point("sample.done")
            except (StorageError, DataError) as error:
                self.show.say(f"warning: a preview was not written: {error.what}")
            losses = validation_losses(self.family, self.data.held_out)
            self.family.train()
        return losses

    def _save(self) -> None:
        """Write a checkpoint unless it is there; every process finds broken weights alike."""
        if self.trainer.images == self._saved_images:
            return
        tensors = self.trainer.tensors()
        if self.leads:
            self.folder.sync()  # the history up to a checkpoint is as durable as it is
            state = {**self.trainer.state(), "history": self.history.state()}
            state["previews"] = self._previews
            checkpoint.save(self.folder.checkpoints, self.trainer.images, tensors, state)
            checkpoint.prune(self.folder.checkpoints, self.recipe.keep)
        self._mark_saved()

    def _mark_saved(self) -> None:
        self._saved_at, self._saved_images = self.trainer.seconds, self.trainer.images

    def _roll_back(self, error: NonFiniteError) -> None:
        """Go back to the last good checkpoint, shuffle anew and halve the learning rate."""
        names = self._suspect(error)
        self._await_others()
        saved = self.folder.newest_checkpoint()
        rollbacks = self.trainer.rollbacks + 1
        if rollbacks > MAX_ROLLBACKS or saved is None:
            raise TrainingError(
                f"{error.what}, {MAX_ROLLBACKS} roll-backs did not help; suspect images: {names}",
                where=f"{self.folder.path} {error.where}",
                fix=_RANGES,
            ) from error
        self._restore(saved)
        self.trainer.rollbacks = rollbacks
        self.show.say(
            f"warning: {error.what} {error.where} (suspect images: {names}); back to "
            f"{self.trainer.images:,} images with half the learning rate ({rollbacks} of 3)"
        )

    def _suspect(self, error: NonFiniteError) -> str:
        """Names of the images of the failing batch, of those in every failing batch if any are."""
        rows = {int(row) for row in error.rows}
        self._suspects = (self._suspects & rows) or rows
        names = self.data.train.names_of(sorted(self._suspects)[:SUSPECTS_SHOWN])
        more = len(self._suspects) - len(names)
        return ", ".join(names or ["none"]) + (f" and {more} more" if more else "")

    def _finish(self) -> None:
        if self.leads:
            lines = self.folder.lines()
            title = f"{self.header['family']} on {self.header['data']['spec']}"
            self._draw(lines, title)
        self._install_averages()
        if self.leads:
            self._write_model(lines[-1] if lines else {})
        self.tracker(None)
        self._await_others()

    def _draw(self, lines: list[dict[str, Any]], title: str) -> None:
        try:
            draw_curves(self.folder.path / "curve.png", lines, title)
        except StorageError as error:
            self.show.say(f"warning: the curve was not written: {error.what}")

    def _install_averages(self) -> None:
        self.family.load_state_dict(self.trainer.averages.main.tensors)
        self._settle_weights()

    def _settle_weights(self) -> None:
        """Make the averages that have just been put in place ready for use."""
        self.family.eval()
        if isinstance(self.family, Settles):
            self.family.settle()

    def _write_model(self, last: dict[str, Any]) -> None:
        """The model folder appears whole, by a rename."""
        building = self.folder.path / ".model.tmp"
        shutil.rmtree(building, ignore_errors=True)
        try:
            self.family.save_pretrained(building)
            with storing(building):
                write_bytes(building / "README.md", model_card(self.header, last).encode())
                sync_folder(building)
                faults.point("model.rename")
                building.rename(self.folder.model)
                sync_folder(self.folder.path)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    _warned = False
    _saved_at = 0.0
    _saved_images = -1


def pictures(folder: RunFolder) -> list[Path]:
    """The newest picture of each kind in a run, for telling the user where to look."""
    found: dict[str, Path] = {}
    for path in sorted(folder.samples.glob("*.png")):
        found[path.name.rpartition("-")[0]] = path
    curve = folder.path / "curve.png"
    return [*found.values(), *([curve] if curve.is_file() else [])]
