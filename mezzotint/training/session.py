"""One training run from start, or from where it stopped, to the finished model in its folder."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.data.dataset import Images
from mezzotint.errors import (
    CollapseError,
    NonFiniteError,
    Stopped,
    StorageError,
    TrainingError,
)
from mezzotint.families.base import Family
from mezzotint.progress import Progress, Silent
from mezzotint.runs import checkpoint, snapshots
from mezzotint.runs.folder import RunFolder
from mezzotint.training.caching import known_rows
from mezzotint.training.cards import model_card, with_best
from mezzotint.training.curves import draw_curves
from mezzotint.training.devices import together, told_by_leader
from mezzotint.training.evaluations import Evaluations
from mezzotint.training.feeding import Feed
from mezzotint.training.few_images import copying
from mezzotint.training.history import History
from mezzotint.training.loop import Trainer
from mezzotint.training.models import prepare, settle, steady, write_model
from mezzotint.training.recipe import Recipe
from mezzotint.training.records import Record
from mezzotint.training.signals import StopRequest
from mezzotint.training.soundness import Suspects
from mezzotint.training.trackers import open_tracker
from mezzotint.training.watching import Health, Watch

MAX_ROLLBACKS, CARE = 3, "a quarter of the learning rate"
PACE_KNOWN = 0.01  # share of a run after which its length in images is foreseen
_CARE = "lower lr, raise penalty_weight or set augment=translation; --no-watch trains on regardless"
_RANGES = "try a lower lr, max_grad_norm=1, precision=fp32; `mezzotint data check` finds bad images"


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
            CollapseError: samples have collapsed for the fourth time.
            StorageError, CannotCreateError: the folder cannot be written.
        """
        if self.folder.newest_checkpoint() is None:
            prepare(self.family, self.data.train)
        stop = StopRequest()
        feed = Feed(self.data.train, self.recipe.batch)
        self.trainer = Trainer(self.family, feed, self.recipe, lambda: bool(stop))
        self.leads = self.trainer.accelerator.is_main_process
        self.show = self.show if self.leads else Silent()
        with together(), self.folder.hold() if self.leads else nullcontext(), stop.listening():
            self._start()
            with self.trainer.accelerator.main_process_first():
                after = max(0.0, (self.recipe.budget or 0.0) - self.trainer.seconds)
                given = (feed.images, self.recipe, self.folder, self.show, after)
                feed.know(known_rows(self.family, *given))
            self._train_through_rollbacks()
            if self.trainer.progress < 1:  # a signal came, here or to another process
                raise Stopped(int(stop.signal_number or 2), str(self.folder.path))
            self._finish()

    def _start(self) -> None:
        saved = self.folder.newest_checkpoint()
        if self.leads:
            self._tidy(saved is None)
        self._await_others()
        self._open()
        if saved is not None:
            self._restore(saved)
            self._settle(saved.path)
            self.show.say(f"resuming {self.folder.path} at {self.trainer.images:,} images")
        else:
            self._save()
        self._await_others()

    def _tidy(self, anew: bool) -> None:
        self.folder.sweep()
        if not self.folder.exists():
            self.folder.write_header(self.header)
        if anew:
            self.folder.rewind(-1)

    def _open(self) -> None:
        self.history = History(self.folder, self.recipe.log_every)
        self.tracker = open_tracker(self.recipe.tensorboard and self.leads, self.folder.path)
        self._suspects = Suspects(self.data.train)
        self.watch = Watch(self.family, self.data, self.recipe.watch)
        steady(self.family, self.watch.alarms)
        looked_at, recipe = self.trainer.averages.main, self.recipe
        self.evaluations = Evaluations(
            self.family, self.data.held_out, self.folder, looked_at, self.watch, recipe, self.show
        )

    def _settle(self, restored: Path) -> None:
        for path in self._make_newest(restored):
            self.show.say(f"warning: {path} was damaged and is removed")

    def _make_newest(self, path: Path) -> list[Path]:
        folder, keep = self.folder.checkpoints, self.recipe.keep
        return checkpoint.settle(folder, path, keep, self.watch.sound) if self.leads else []

    def _await_others(self) -> None:
        self.trainer.accelerator.wait_for_everyone()

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        self.trainer.restore(saved)
        self.history.restore(saved.state["history"])
        self.evaluations.done = saved.state["previews"]
        self.watch.restore(saved.state.get("watch", {}), self.trainer.images)
        self.trainer.alarms = self.watch.alarms
        steady(self.family, self.watch.alarms)
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
            except CollapseError as error:
                self._retreat(error)

    def _take(self, record: Record) -> None:
        """Everything that happens after an iteration; the leading process writes."""
        self.history.add(record)
        due = self.history.due(record)
        looked = due and self.evaluations.due(record)
        if self.leads and due:
            self._log(record, looked)
        wanted = self.recipe.ema_snapshots
        if self.leads and snapshots.due(self.folder.averages, wanted, record.progress):
            kept = self.trainer.averages.kept()
            snapshots.take(self.folder.averages, record.images, record.step, kept)
        if looked:
            self._heed(record)
        if record.seconds - self._saved_at >= self.recipe.checkpoint_seconds:
            self._save()

    def _heed(self, record: Record) -> None:
        """Do what the leading process's watch calls for."""
        self.evaluations.count(record.progress)
        health = int(self.watch.health)
        if self.watch.active:
            health = told_by_leader(self.trainer.accelerator, health)
        if health == Health.COLLAPSED:
            raise CollapseError(self.watch.finding, f"after {record.images:,} images")
        if health == Health.SOUND:
            self.watch.sound = record.images
            self._save()

    def _log(self, record: Record, look: bool) -> None:
        extra = self.evaluations.look(record) if look else {}
        self._warn_of_copying(record)
        line = self.history.write(record, extra)
        self.tracker(line)
        self.folder.beat()
        speed = record.images / max(record.seconds, 1e-9)
        left = record.seconds * (1 - record.progress) / max(record.progress, 1e-9)
        told = [f"{k} {line[v]:.5g}" for k, v in self.family.headline.items() if v in line]
        note = "  ".join([*told, *self.evaluations.words(), f"{speed:,.0f} images/s"])
        self.show.update(record.progress, 1.0, note, left)

    def _warn_of_copying(self, record: Record) -> None:
        """Once, when the pace shows how often the images will be seen."""
        if self._warned or not self.family.copies or record.progress < PACE_KNOWN:
            return
        warning = copying(len(self.data.train), record.images / record.progress)
        if warning:
            self.show.say(warning)
            self._warned = True

    def _save(self) -> None:
        """Write a checkpoint unless it is there; every process finds broken weights alike."""
        if self.trainer.images == self._saved_images:
            return
        tensors = self.trainer.tensors()
        if self.leads:
            self.folder.sync()  # the history up to a checkpoint is as durable as it is
            state = {**self.trainer.state(), "history": self.history.state()}
            state |= {"previews": self.evaluations.done, "watch": self.watch.state()}
            checkpoint.save(self.folder.checkpoints, self.trainer.images, tensors, state)
            checkpoint.prune(self.folder.checkpoints, self.recipe.keep, self.watch.sound)
        self._mark_saved()

    def _mark_saved(self) -> None:
        self._saved_at, self._saved_images = self.trainer.seconds, self.trainer.images

    def _go_back(self, saved: checkpoint.Checkpoint, error: TrainingError) -> None:
        """Restore an earlier state; the time that was spent since stays spent."""
        spent = self.trainer.seconds
        self._restore(saved)
        self.trainer.go_on(spent)
        self.evaluations.count(self.trainer.progress)
        ended = self.trainer.progress >= 1 and not self.trainer.images
        if ended and not self._was_better():
            what = f"{error.what}; no time is left to begin anew"
            raise TrainingError(what, str(self.folder.path), "give a longer budget") from error

    def _roll_back(self, error: NonFiniteError) -> None:
        """Go back to the last good checkpoint, shuffle anew and halve the learning rate."""
        names = self._suspects.names(error.rows)
        self._await_others()
        saved = self.folder.newest_checkpoint()
        rollbacks = self.trainer.rollbacks + 1
        count = rollbacks - self.watch.alarms
        if count > MAX_ROLLBACKS or saved is None:
            raise TrainingError(
                f"{error.what}, {MAX_ROLLBACKS} roll-backs did not help; suspect images: {names}",
                where=f"{self.folder.path} {error.where}",
                fix=_RANGES,
            ) from error
        self._go_back(saved, error)
        self.trainer.rollbacks = rollbacks
        self.history.note(error, self.trainer.images)
        back = f"back to {self.trainer.images:,} images with half the learning rate ({count} of 3)"
        self.show.say(f"warning: {error.what} {error.where} (suspect images: {names}); {back}")

    def _retreat(self, error: CollapseError) -> None:
        """Go back to where the watch last saw no reason to worry, and train with more care."""
        alarms, rollbacks = self.watch.alarms + 1, self.trainer.rollbacks + 1
        saved = checkpoint.newest(self.folder.checkpoints, self.watch.sound)
        self._await_others()
        if saved is None:
            raise error
        self._go_back(saved, error)
        self._make_newest(saved.path)  # the later ones may hold the collapse
        self.history.note(error, self.trainer.images)
        if alarms > MAX_ROLLBACKS:
            self.history.end(self.leads)
            what = f"{error.what}; {MAX_ROLLBACKS} roll-backs did not help"
            raise CollapseError(what, f"{self.folder.path} {error.where}", _CARE) from error
        self.trainer.rollbacks, self.trainer.alarms, self.watch.alarms = rollbacks, alarms, alarms
        care = " and ".join(filter(None, [CARE, steady(self.family, alarms)]))
        back = f"back to {self.trainer.images:,} images with {care} ({alarms} of {MAX_ROLLBACKS})"
        self.show.say(f"warning: {error.what} {error.where}; {back}")

    def _finish(self) -> None:
        if self.leads:
            self._draw(lines := self.folder.lines())
        self.family.load_state_dict(self.trainer.averages.main.tensors)
        chosen = self.evaluations.put_back() if self._was_better() else None
        settle(self.family)
        if self.leads:
            self.history.end(self.leads)  # an alarm at the last look has no other line
            spent = {"images": self.trainer.images, "seconds": self.trainer.seconds}
            card = model_card(self.header, {**spent, **(lines[-1] if lines else {})})
            write_model(self.family, self.folder, with_best(card, chosen) if chosen else card)
        self.tracker(None)
        self._await_others()

    def _was_better(self) -> bool:
        """Whether the end is clearly worse than the best averages."""
        outdone = self.evaluations.outdone() is not None
        return bool(told_by_leader(self.trainer.accelerator, int(outdone)))

    def _draw(self, lines: list[dict[str, Any]]) -> None:
        spec, curve = self.header["data"]["spec"], self.folder.path / "curve.png"
        try:
            draw_curves(curve, lines, f"{self.header['family']} on {spec}")
        except StorageError as error:
            self.show.say(f"warning: the curve was not written: {error.what}")

    _warned, _saved_at, _saved_images = False, 0.0, -1
