"""The only training loop: a generator of records, one after each iteration of all players.

Everything random in a step is a function of (seed, images seen), so a run that resumes from a
checkpoint repeats the unbroken one bit for bit on a CPU. Logging, previews, checkpoints and pages
are consumers of the records; none of them is known here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mezzotint.data.batches import Rows, share
from mezzotint.errors import ConfigError, NonFiniteError, TrainingError
from mezzotint.families.base import Batch, Family, Losses
from mezzotint.nets.small_grids import adapt
from mezzotint.runs.checkpoint import Checkpoint
from mezzotint.seeds import BatchNoise, mix, seed_global
from mezzotint.storage import faults
from mezzotint.storage.weights import first_non_finite
from mezzotint.training.averaging import Averages
from mezzotint.training.devices import is_out_of_memory, make_accelerator, should_compile
from mezzotint.training.feeding import Feed
from mezzotint.training.optimisers import gradient_norm, load_state, named_state, set_rate
from mezzotint.training.profiles import WIDTHS
from mezzotint.training.recipe import Recipe
from mezzotint.training.recording import record
from mezzotint.training.records import Record
from mezzotint.training.schedules import bent, rate_scale
from mezzotint.training.seats import Seat, can_record, take_seat
from mezzotint.training.soundness import LossWatch

PROBE_STEPS = 20


class Trainer:
    """Trains a family; iterate over :meth:`records`.

    Args:
        family: the model; its parameters change in place.
        feed: gives batches of training images.
        recipe: how; ``images`` or ``budget`` sets the length.
        should_stop: asked after each iteration; True ends the run there, on every process.

    Raises:
        ConfigError: the recipe has no length, or both kinds.
    """

    def __init__(
        self,
        family: Family,
        feed: Feed,
        recipe: Recipe,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if (recipe.images is None) == (recipe.budget is None):
            raise ConfigError("give a length: images or budget, one of them", fix="--budget 10m")
        self.family, self.feed, self.recipe = family, feed, recipe
        self.should_stop = should_stop
        self.accelerator = make_accelerator(recipe.precision)
        family.to(self.accelerator.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        if self.accelerator.device.type == "cpu":
            adapt(family)
        self.feed.to(self.accelerator.device)
        self.seats = [
            take_seat(name, player, recipe, self.accelerator)
            for name, player in family.players().items()
        ]
        # after the seats: wrapping for several processes moves the parameters to other memory
        widths = WIDTHS if recipe.ema_snapshots else ()
        self.averages = Averages(family, recipe.ema, widths, family.unaveraged)
        self.images = self.step = self.rollbacks = self.alarms = 0
        self.turns = {seat.name: 0 for seat in self.seats}
        self.seconds, self.bend = 0.0, (0.0, 0.0)
        self.micro_batch = recipe.micro_batch or recipe.batch
        self._compiled = False
        self._watch = LossWatch(self.accelerator.device)
        self._last_rows: Rows = np.empty(0, dtype=np.int64)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        if self.recipe.images is not None:
            return min(1.0, self.images / self.recipe.images)
        return min(1.0, self.seconds / float(self.recipe.budget or 1))

    def records(self) -> Iterator[Record]:
        """Train until the length is reached, yielding after every iteration.

        The clock of a time budget runs on while the consumer works.

        Raises:
            NonFiniteError: a loss is NaN, infinite or too large; the weights are unusable.
        """
        clock = time.perf_counter()
        while self.progress < 1:
            here, recipe = bent(self.progress, *self.bend), self.recipe
            rate = rate_scale(here, recipe.warmup, recipe.decay)
            rate *= 0.5 ** (self.rollbacks + self.alarms)
            turns = self._agree_on_turns([seat.player.turns() for seat in self.seats])
            losses = self._iterate(rate, turns)
            self.step += 1
            self.images += self.recipe.batch * max(turns)
            self.averages.update(self.step)
            clock, before = time.perf_counter(), clock
            stop = self._agree(clock - before)
            yield Record(
                self.images, self.step, self.progress, self.seconds, losses, rate, stop=stop
            )
            if stop:
                return

    def _agree_on_turns(self, turns: list[int]) -> list[int]:
        """The most any process wants, where a player's number of steps may change."""
        free = any(callable(seat.player.steps) for seat in self.seats)
        if not free or self.accelerator.num_processes == 1:
            return turns
        wanted = torch.tensor([turns], device=self.accelerator.device)
        found: list[int] = self.accelerator.gather(wanted).amax(0).tolist()
        return found

    def _iterate(self, rate: float, turns: list[int]) -> Losses:
        """Every player's steps, each on rows of its own: the losses of the last one."""
        losses: Losses = {}
        key = mix("step", self.recipe.seed, self.images, self.rollbacks)
        seed_global(key, self.accelerator.device)
        for seat, steps in zip(self.seats, turns, strict=True):
            set_rate(seat.optimiser, seat.lr * rate)
            found: Losses = {}  # of a player that sits this iteration out
            for turn in range(steps):
                found = self._step(seat, self.images + turn * self.recipe.batch)
                self.turns[seat.name] += 1
            prefix = f"{seat.name}." if len(self.seats) > 1 else ""
            losses |= {prefix + key: value for key, value in found.items()}
        return losses

    def _step(self, seat: Seat, seen: int) -> Losses:
        """One optimiser step of one player on the batch after ``seen`` images."""
        rows = self._rows(seen)
        while True:
            try:
                losses = self._gradients(seat, rows, seen)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_micro_batch(len(rows), error)
        self._require_sound(losses["loss"], seen, seat.player.ceiling)
        if len(self.seats) > 1:
            losses = {**losses, "gradient": gradient_norm(seat.optimiser)}
        if self.recipe.max_grad_norm > 0:
            self.accelerator.clip_grad_norm_(seat.turn.parameters(), self.recipe.max_grad_norm)
        faults.point("step.update")
        self._last_rows = rows
        seat.optimiser.step()
        return losses

    def _halve_micro_batch(self, batch: int, error: RuntimeError) -> None:
        if self.micro_batch == 1:
            what = "out of memory with one image at a time"
            raise TrainingError(what, fix="use smaller images or a smaller model") from error
        self.micro_batch = -(-min(self.micro_batch, batch) // 2)
        torch.cuda.empty_cache()

    def _rows(self, seen: int) -> Rows:
        return self.feed.rows(seen, mix(self.recipe.seed, self.rollbacks))

    def _gradients(self, seat: Seat, rows: Rows, seen: int) -> Losses:
        """Gradients of the whole batch: recorded once and replayed where that is possible."""
        whole_batch = self.micro_batch >= len(rows)
        if not (self.recipe.record and whole_batch and can_record(seat, self.accelerator)):
            return self._backward(seat, rows, seen)
        whole = slice(0, len(rows))
        if seat.recording is None:
            batch = self._batch(seat.name, rows, whole, seen)
            seat.recording = record(lambda given: self._pass(seat, given), seat.turn, batch)
        return seat.recording.replay(self._batch(seat.name, rows, whole, seen))

    def _pass(self, seat: Seat, batch: Batch) -> Losses:
        losses: Losses = seat.turn(batch)
        self.accelerator.backward(losses["loss"])
        return losses

    def _backward(self, seat: Seat, rows: Rows, seen: int) -> Losses:
        """Gradients of the whole batch, gathered over micro-batches and processes."""
        seat.optimiser.zero_grad()
        total: Losses = {}
        mine = share(len(rows), self.accelerator.process_index, self.accelerator.num_processes)
        for start in range(mine.start, mine.stop, self.micro_batch):
            part = slice(start, min(start + self.micro_batch, mine.stop))
            weight = (part.stop - part.start) / len(rows)
            last = part.stop == mine.stop
            with nullcontext() if last else self.accelerator.no_sync(seat.turn):
                losses = seat.turn(self._batch(seat.name, rows, part, seen))
                # processes average their gradients; the factor makes that the batch's mean
                scale = weight * self.accelerator.num_processes
                self.accelerator.backward(losses["loss"] * scale if scale != 1 else losses["loss"])
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach() * weight
        return self._summed(total)

    def _batch(self, player: str, rows: Rows, part: slice, seen: int) -> Batch:
        key = ("train", self.recipe.seed, self.rollbacks, seen, player)
        noise = BatchNoise(key, len(rows), part.start, part.stop, self.accelerator.device)
        batch = self.feed.batch(rows[part], noise, self.recipe.flip, self.recipe.jitter or 0.0)
        return replace(batch, progress=self.progress, turn=self.turns[player])

    def _summed(self, losses: Losses) -> Losses:
        if self.accelerator.num_processes == 1:
            return losses
        names = sorted(losses)
        whole = self.accelerator.reduce(torch.stack([losses[name] for name in names]), "sum")
        return dict(zip(names, whole.unbind(), strict=True))

    def _require_sound(self, loss: Tensor, seen: int, ceiling: float) -> None:
        """A loss of broken weights is the fault of the batch before, whose gradient broke them."""
        broken = self._watch.note(loss, seen, ceiling)
        if broken is None:
            return
        if broken == seen:
            self._require_finite_state(self._state_tensors())
        value = f"{float(loss):.4g}" if broken == seen else "too large or not finite"
        raise NonFiniteError(f"the loss is {value}", broken, self._rows(broken))

    def _require_finite_state(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        for tensors in groups.values():
            name = first_non_finite(tensors)
            if name is not None:
                raise NonFiniteError(f"'{name}' is not finite", self.images, self._last_rows)

    def _agree(self, seconds: float) -> bool:
        """Count the time and ask whether to stop, the same answer on every process."""
        stop = self.should_stop()
        if self.accelerator.num_processes > 1:
            own = torch.tensor([seconds, float(stop)], device=self.accelerator.device)
            seconds, asked = (self.accelerator.gather(own[None]).amax(0)).tolist()
            stop = asked > 0
        self.seconds += seconds
        if self.step == PROBE_STEPS and not self._compiled:
            self._compile_if_it_pays()
        return stop

    def _compile_if_it_pays(self) -> None:
        left = self.seconds * (1 - self.progress) / max(self.progress, 1e-9)
        if should_compile(self.recipe.compile, self.accelerator.device, left):
            self._compiled = True
            for seat in (seat for seat in self.seats if seat.player.compilable):
                seat.turn.compile()
                seat.recording = None  # to be recorded anew from the compiled kernels

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Everything a checkpoint must hold, by file; the same on every process.

        Raises:
            NonFiniteError: a number is NaN or infinite, so that none is ever saved.
        """
        groups = self._state_tensors()
        self._require_finite_state(groups)
        return groups

    def _state_tensors(self) -> dict[str, dict[str, Tensor]]:
        optimisers = {
            f"{seat.name}.{key}": value
            for seat in self.seats
            for key, value in named_state(seat.optimiser).items()
        }
        model = self.family.state_dict()
        return {"model": model, **self.averages.groups(), "optimizer": optimisers}

    def state(self) -> dict[str, Any]:
        """The counters a checkpoint must hold."""
        return {name: getattr(self, name) for name in _COUNTERS}

    def restore(self, saved: Checkpoint) -> None:
        """Go back to a checkpoint."""
        self._watch.forget()
        self.family.load_state_dict(saved.tensors["model"])
        self.averages.load(saved.tensors)
        for seat in self.seats:
            prefix = f"{seat.name}."
            own = saved.tensors["optimizer"].items()
            state = {k.removeprefix(prefix): v for k, v in own if k.startswith(prefix)}
            seat.optimiser.state.clear()
            seat.recording = None  # a family may weigh its losses otherwise from here on
            load_state(seat.optimiser, state)
        for name in _COUNTERS:
            setattr(self, name, saved.state[name])

    def go_on(self, seconds: float) -> None:
        """Count time that was lost; the schedule runs from here to its end in what is left."""
        reached, self.seconds = bent(self.progress, *self.bend), seconds
        self.bend = (self.progress, reached)


_COUNTERS = ("images", "step", "seconds", "bend", "rollbacks", "micro_batch", "turns")
