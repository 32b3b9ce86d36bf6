"""Diffusion models: learn to take noise off images, then start from noise alone.

Any process of :mod:`mezzotint.noise`, prediction and solver go together. Labels are hidden from the
network at random in training, which makes guidance possible (2207.12598).
"""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mezzotint.config import override
from mezzotint.families.base import Batch, Family, Form, Losses, Player, require_seeds
from mezzotint.families.conditions import (
    Conditions,
    Label,
    class_numbers,
    make_conditions,
)
from mezzotint.families.consistency import endless
from mezzotint.families.diffusing import (
    PRESETS,
    SAMPLING,
    STUDENT,
    TUNING,
    DiffusionConfig,
    build_network,
    build_process,
    table_of,
)
from mezzotint.families.diffusion_sizes import suited
from mezzotint.families.groups import Told
from mezzotint.families.guiding import guided_at
from mezzotint.families.making import Watch, between, filmed, made
from mezzotint.families.objectives import CEILING, OBJECTIVES, errors
from mezzotint.families.teaching import Lesson
from mezzotint.families.walking import Looking, looking, walk
from mezzotint.noise import Level, Levels, spread_level
from mezzotint.predictions import PREDICTIONS
from mezzotint.seeds import ImageNoise
from mezzotint.stepping import Denoised, Step
from mezzotint.variational import Posteriors

MOST_PREVIEW_STEPS = 50
PREVIEW = {"solver": "unipc", "steps": 10, "spacing": "trailing"}


class Diffusion(Family):
    """A network that predicts the clean image behind a noisy one, and the solvers that use it.

    Args:
        config: options, or give them as keywords.
        network: a network of your own, (noisy, time, told) -> output of the image's shape.
        told: what the network is told of an image instead of class and group.
    """

    kind: ClassVar[str] = "diffusion"
    config_class: ClassVar[type] = DiffusionConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = SAMPLING
    copies: ClassVar[bool] = True

    def __init__(
        self,
        config: DiffusionConfig | None = None,
        network: nn.Module | None = None,
        told: Told | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        self.network = network or build_network(self.config)
        classes, groups = len(self.config.classes), self.config.groups
        self.told = told or Told(classes, groups, self.shape)
        self.process = build_process(self.config)
        self.prediction = PREDICTIONS[self.config.prediction]
        learned = self.config.variance == "learned"
        self.posteriors = Posteriors(table_of(self.config)) if learned else None
        self.lesson: Lesson[Diffusion] = Lesson()

    @classmethod
    def suited(cls, form: Form, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """By the table of :mod:`families.diffusion_sizes`."""
        return suited(form.size, given)

    def players(self) -> dict[str, Player]:
        """One player: the network."""
        steady = self.config.objective == "denoise"
        ceiling = CEILING if steady else math.inf
        return {"diffusion": Player(self, self.loss, recordable=steady, ceiling=ceiling)}

    def loss(self, batch: Batch) -> Losses:
        """The configured objective, a mean over the batch."""
        return {"loss": OBJECTIVES[self.config.objective](self, batch).mean()}

    def squared_error(
        self, clean: Tensor, noise: Tensor, levels: Levels, told: Tensor | None
    ) -> Tensor:
        """Mean squared error of the prediction for each image: (N,)."""
        return errors(self, clean, noise, levels, told)[0]

    def shown(self, batch: Batch) -> Tensor | None:
        """What the network is told of a batch, a share of it hidden."""
        told = self.told.of(batch.images, batch.labels)
        if told is None:
            return None
        hidden = batch.noise.rand() < self.config.label_dropout
        return torch.where(hidden.view(-1, *[1] * (told.dim() - 1)), -1, told)

    def output(
        self, noisy: Tensor, levels: Levels, told: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The prediction for noisy images and v of a learnt variance (2102.09672, eq. 15).

        Both are float32 whatever the network computes in; v is None where the variance is fixed.
        """
        scale = self.prediction.input_scale(levels.alpha, levels.sigma, self.config.data_std)
        given = (noisy * scale).to(self.dtype)
        output: Tensor = self.network(given, levels.time, told).float()
        if self.posteriors is None:
            return output, None
        prediction, variance = output.chunk(2, 1)
        return prediction, (variance + 1) / 2

    def denoise(self, noisy: Tensor, level: Level, told: Tensor | None = None) -> Tensor:
        """The clean images seen behind noisy ones, (N, C, H, W) both; without clipping."""
        return self.seen(noisy, spread_level(level, noisy), told).clean

    def seen(self, noisy: Tensor, levels: Levels, told: Tensor | None = None) -> Denoised:
        """As :meth:`denoise`, for images at levels of their own, and with a learnt variance."""
        output, fraction = self.output(noisy, levels, told)
        alpha, sigma = levels.alpha, levels.sigma
        clean = self.prediction.clean(noisy, output, alpha, sigma, self.config.data_std)
        return Denoised(clean, fraction)

    def guided(
        self, noisy: Tensor, level: Level, told: Tensor | None, config: DiffusionConfig
    ) -> Denoised:
        """u + w (c - u); one plain pass where w = 1."""
        return guided_at(self.seen, noisy, level, told, config)

    def looking(self, seed: int, label: Label = None, **settings: Any) -> Looking:
        """The walk of one seed's image of :meth:`sample`, for :func:`walking.looked`."""
        conditions = self._conditions([seed], label).part([0], self.device)
        return looking(override(self.config, settings), ImageNoise([seed], self.device), conditions)

    def _conditions(self, seeds: list[int], label: Label, *pictures: Any) -> Conditions:
        image, *rest = pictures or (None,)
        start = None if image is None else self.inward(image)
        told = self.told.asked(seeds, self.labels_of(seeds, label), start)
        return make_conditions(self.shape, told, len(seeds), start, *rest)

    def trajectory(
        self,
        noise: ImageNoise,
        conditions: Conditions,
        start: Tensor | None = None,
        **settings: Any,
    ) -> Iterator[Step]:
        """The states of a solver from noise to images, unclamped; see :func:`walking.walk`.

        Args:
            noise: draws of the images.
            conditions: what is asked of them.
            start: noise (N, C, H, W) to start from; None takes it from ``noise``.
            settings: options of the configuration that differ, such as ``solver`` and ``steps``.
        """
        config = override(self.config, settings)
        return walk(self.guided, config, noise, conditions, start)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        batch: int = 64,
        label: Label = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        watch: Watch = lambda done, total: None,
        **settings: Any,
    ) -> Tensor:
        """New images (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone.

        Args:
            seeds: one an image.
            batch: images at a time on a GPU; a CPU takes as many as are fastest. Changes no pixel.
            label: class name or number for all, or one each; None draws one from each seed;
                "none" asks for no class.
            image: (1 or n, C, H, W) in [-1, 1] to start from (2108.01073).
            mask: (1 or n, 1, H, W), 1 where ``image`` is made anew, 0 where it is kept.
            strength: share of the levels walked through from ``image``; 1 starts from noise; None:
                0.5, and 1 under a mask.
            watch: called with steps done and steps in all.
            settings: options of the configuration that differ, such as ``solver``, ``steps``,
                ``guidance``.

        Raises:
            UsageError: no seeds, an unknown label, a mask or strength without an image.
        """
        numbers = require_seeds(seeds)
        conditions = self._conditions(numbers, label, image, mask, strength)
        images = made(self, numbers, conditions, batch, watch, **settings)
        return self.outward(images.clamp(-1, 1))

    def student(self) -> tuple["Diffusion", dict[str, Any]]:
        """A copy that learns to sample in two steps, and training options for it.

        Raises:
            UsageError: the process is a table.
        """
        endless(self.process)
        student = Diffusion(override(self.config, STUDENT), network=copy.deepcopy(self.network))
        student.told.load_state_dict(self.told.state_dict())
        student.lesson.by(self)
        return student, dict(TUNING)

    @property
    def teacher(self) -> "Diffusion":
        """Whom the model learns from; :meth:`teaching.Lesson.teacher` says what it raises."""
        return self.lesson.teacher(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in; levels and states stay float32."""
        return next((p.dtype for p in self.network.parameters()), torch.float32)

    @property
    def prepared(self) -> bool:
        """Whether the groups, if there are to be any, have been found."""
        return self.told.groups is None or self.told.groups.fitted

    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Find the groups in training images (N, C, H, W) in [-1, 1] of classes ``labels``."""
        if self.told.groups is not None:
            self.told.groups.fit(images, labels if self.config.classes else None)

    @property
    def preview(self) -> dict[str, Any]:
        """Few steps, whatever the model's own sampling takes."""
        return PREVIEW if self.config.steps > MOST_PREVIEW_STEPS else {}

    def labels_of(self, seeds: Sequence[int], label: Label = None) -> list[int] | None:
        """The class number each seed's image is asked to be, -1 for none."""
        return class_numbers(seeds, label, self.config.classes)

    @torch.inference_mode()
    def film(
        self,
        seeds: Iterable[int],
        frames: int = 10,
        label: Label = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        **settings: Any,
    ) -> tuple[Tensor, Tensor]:
        """How images come to be: x_t and the predicted x_0, each (n, frames, C, H, W) in [-1, 1].

        Frames are equally spaced over the steps, the last one included; the rest as in
        :meth:`sample`.
        """
        numbers = require_seeds(seeds)
        conditions = self._conditions(numbers, label, image, mask, strength)
        noisy, clean = filmed(self, numbers, conditions, frames, **settings)
        return self._shown(noisy), self._shown(clean)

    def _shown(self, states: Tensor) -> Tensor:
        """States (n, frames, C, H, W) as images."""
        images = self.outward(states.flatten(0, 1).clamp(-1, 1))
        return images.view(states.shape)

    @torch.inference_mode()
    def interpolate(
        self, first: int, second: int, count: int, label: Label = None, **settings: Any
    ) -> Tensor:
        """Images (count, C, H, W) from noise on the great circle between two seeds' noise.

        Both ends are what :meth:`sample` makes of the seeds with a deterministic solver; the class
        is that of the first.
        """
        conditions = self._conditions([first] * count, label)
        images = between(self, first, second, conditions, count, **settings)
        return self.outward(images.clamp(-1, 1))
