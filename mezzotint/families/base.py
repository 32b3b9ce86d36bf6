"""What a family of models is to the rest of the package.

A family names its players (who is optimised, by which loss) and has some of the capabilities
below. It sees tensors and draws only: no files of images, no loop, no metrics.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from mezzotint.alpha import RGBA, premultiply, unpremultiply
from mezzotint.config import at_least, from_dict, to_dict
from mezzotint.errors import ConfigError, UsageError
from mezzotint.seeds import BatchNoise, Draws, ImageNoise
from mezzotint.storage.files import make_folder, replace_json
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.weights import (
    Kind,
    check_header,
    load_into,
    load_tensors,
    require_fit,
    save_tensors,
)

CHUNK = 8
SCHEMA = 1


@dataclass(frozen=True)
class Batch:
    """What a loss sees of a training step.

    Attributes:
        images: (N, C, H, W) in [-1, 1], as the family thinks of them: :meth:`Family.inward`.
        noise: random numbers of these images at this step.
        labels: (N,) int64, -1 where there is none, or None.
        captions: one text or None an image, or None.
        progress: share of the run that is done, 0 to 1.
        turn: optimiser steps this player has taken before.
        known: what was found out of these images and captions before training, rows by name.
    """

    images: Tensor
    noise: Draws
    labels: Tensor | None = None
    captions: Sequence[str | None] | None = None
    progress: float = 1.0
    turn: int = 0
    known: Mapping[str, Tensor] | None = None


class Short(NamedTuple):
    """Runs of at most so many seconds, or images, and the batch that gives them enough steps."""

    seconds: float
    images: int
    batch: int


class Form(NamedTuple):
    """The images of a new run: (height, width), channels, how many there are to train on."""

    size: tuple[int, int]
    channels: int
    images: int


Losses = dict[str, Tensor]
"""Scalars of a step; ``loss`` is the one that is minimised."""


@dataclass(frozen=True)
class Player:
    """One side of the game: the parameters of ``module`` are optimised by ``loss``.

    Attributes:
        module: holds the parameters this player may change.
        loss: batch -> scalars.
        steps: optimiser steps an iteration, each on a batch of its own; or what says how many,
            asked before each iteration. It may look at the model's tensors only, so that a resumed
            run gives the same answers.
        options: optimiser settings that differ from the run's, for example ``{"lr": 2e-4}``.
        recordable: the loss does the same work at every step: nothing in it depends on
            ``batch.progress``, ``batch.turn``, on captions or on the value of a tensor. A GPU then
            records it once.
        ceiling: a loss above this says that the weights have diverged, finite as they are.
        compilable: torch.compile can take the loss; it cannot take a derivative of a derivative.
    """

    module: nn.Module
    loss: Callable[[Batch], Losses]
    steps: int | Callable[[], int] = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    recordable: bool = False
    ceiling: float = math.inf
    compilable: bool = True

    def turns(self) -> int:
        """Steps of the iteration that is about to start."""
        return self.steps() if callable(self.steps) else self.steps


class Family(nn.Module):
    """Base of every family: configuration, players, saving and loading. Nothing else is shared.

    Args:
        config: the family's configuration; or give its fields as keywords.

    Raises:
        ConfigError: an option is unknown or wrong.
    """

    kind: ClassVar[str]
    config_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    sampling: ClassVar[frozenset[str]] = frozenset()
    """Names of what ``sample`` takes besides seeds and batch."""
    source: str = ""
    """Where a model of others is from: ``owner/name@commit`` of the hub."""
    usual: ClassVar[int] = 64
    """Samples where nobody says how many."""
    copies: ClassVar[bool] = False
    """Whether it learns few images by heart: they are shifted then, and a long run warns."""
    unaveraged: ClassVar[tuple[str, ...]] = ()
    """How the names of tensors begin that keep their last values instead of an average."""
    rounds: ClassVar[str] = ""
    """The option that says how many batches an iteration takes, if there is one."""
    short: ClassVar[tuple[Short, ...]] = ()
    """Batches for short runs instead of a preset's own, the shortest first."""
    headline: Mapping[str, str] = {"loss": "loss"}
    """What a line of progress tells: label -> quantity."""

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__()
        if config is not None and options:
            raise UsageError("give a configuration or options, not both", where=self.kind)
        self.config = config or from_dict(self.config_class, options, where=self.kind)

    @classmethod
    def suited(cls, form: Form, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options of model and training that suit images of a form, for the preset ``default``.

        Args:
            form: of the training images.
            given: options somebody chose; those win.
        """
        return {}

    def players(self) -> dict[str, Player]:
        """Who is optimised, by which loss, in the order of an iteration."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images."""
        return (self.config.channels, *self.config.size)

    @property
    def premultiplied(self) -> bool:
        """Whether it thinks of colour times alpha; straight colour stays outside then."""
        asked = getattr(self.config, "alpha", "straight") == "premultiplied"
        return asked and self.config.channels == RGBA

    def inward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of straight colour as the family thinks of them."""
        fits = (
            self.premultiplied and images.shape[1] == RGBA
        )  # others are refused where they arrive
        return premultiply(images) if fits else images

    def outward(self, images: Tensor) -> Tensor:
        """What the family thinks of as images (N, C, H, W) in [-1, 1] of straight colour."""
        return unpremultiply(images) if self.premultiplied else images

    @property
    def preview(self) -> dict[str, Any]:
        """Options of ``sample`` that are quick enough for pictures in the middle of training."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def validation_loss(self, batch: Batch) -> Losses:
        """The first player's losses on held-out images, at the end of every schedule."""
        return next(iter(self.players().values())).loss(batch)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``.

        Raises:
            StorageError, CannotCreateError: the folder cannot be written.
        """
        path = make_folder(Path(folder))
        header = {"schema": SCHEMA, "kind": self.kind, **to_dict(self.config)}
        replace_json(path / "config.json", header)
        save_tensors(path / "model.safetensors", self.state_dict())

    @classmethod
    def from_pretrained(cls, folder: str | Path, **modules: nn.Module) -> Self:
        """Read what :meth:`save_pretrained` wrote; nothing in the folder is executed.

        Args:
            folder: the model's folder.
            modules: networks of your own, if the model was built with some.

        Raises:
            MissingInputError, ConfigError, DataError, RefusedError: the folder is not such a model.
        """
        path = Path(folder)
        config = read_model_config(path)
        if config.pop("kind") != cls.kind:
            raise ConfigError(
                f"this is not a {cls.kind} model", str(path), "mezzotint.load takes every kind"
            )
        weights = inside(path, "model.safetensors")
        settled: Any = from_dict(cls.config_class, config, where=str(path))
        model = cls.fitting(settled, check_header(weights), weights, **modules)
        load_into(model, load_tensors(weights), path)
        return model.eval()

    @classmethod
    def fitting(
        cls, config: Any, kinds: Mapping[str, Kind], where: Path, **modules: nn.Module
    ) -> Self:
        """A model with fresh weights, built once it is known to be what a file of weights holds.

        The comparison is made on the meta device, so a configuration cannot ask for more memory
        than the file fills.

        Raises:
            DataError: the configuration describes other tensors.
        """
        with torch.device("meta"):
            require_fit(cls(config, **modules), kinds, where)
        return cls(config, **modules)


def read_model_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder as a mapping with ``kind``.

    Raises:
        MissingInputError: there is none.
        ConfigError: it is not a model's, or was made by a newer version.
    """
    path = inside(folder, "config.json")
    config = parse_json(read_small(path), path)
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str):
        raise ConfigError(
            "not a mezzotint model: it names no kind", str(path), "name a run or model folder"
        )
    schema = config.pop("schema", None)
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        fix = "install a newer mezzotint" if newer else "use another copy of the model"
        raise ConfigError(f"model schema {schema!r} is not {SCHEMA}", where=str(path), fix=fix)
    return config


def chunked(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply a network in chunks of one fixed size, the last one padded.

    Kernels may round differently at other batch sizes; with one size for every call, a row's result
    does not depend on how many rows came with it, so sampling is byte-equal at any batch size.
    """
    missing = -len(rows) % CHUNK
    full = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows
    outputs = [function(part) for part in torch.split(full, CHUNK)]
    return torch.cat(outputs)[: len(rows)]


def require_seeds(seeds: Iterable[int]) -> list[int]:
    """Seeds as a list.

    Raises:
        UsageError: there are none.
    """
    numbers = [int(seed) for seed in seeds]
    if not numbers:
        raise UsageError("no seeds to sample from", where="n, seeds", fix="give at least one")
    return numbers


def in_batches(
    make: Callable[[ImageNoise], Tensor], seeds: Iterable[int], batch: int, device: torch.device
) -> Tensor:
    """Call ``make`` with the draws of at most ``batch`` images at a time; results on the CPU."""
    numbers = require_seeds(seeds)
    at_least(1, batch=batch)
    parts = [numbers[start : start + batch] for start in range(0, len(numbers), batch)]
    return torch.cat([make(ImageNoise(part, device)).cpu() for part in parts])


def to_unit(images: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return images * 0.5 + 0.5


def from_unit(images: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], clamped."""
    return (images * 2 - 1).clamp(-1, 1)


def fixed_noise(purpose: str, rows: int, device: torch.device) -> BatchNoise:
    """The same draws at every call; for validation and evaluation."""
    return BatchNoise((purpose,), rows, device=device)
