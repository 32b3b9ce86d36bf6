"""Generative adversarial networks (1406.2661): a generator and a critic that train each other.

The critic's step sees images the generator made without a gradient; the generator's step goes
through a critic whose weights are held still. Their losses: :mod:`mezzotint.adversarial`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mezzotint.adversarial import OBJECTIVES, accuracy, energy_distance
from mezzotint.config import at_least
from mezzotint.families.base import (
    Batch,
    Family,
    Form,
    Losses,
    Player,
    Short,
    chunked,
    require_seeds,
)
from mezzotint.families.conditions import Label, class_numbers
from mezzotint.families.contending import (
    AHEAD,
    BEHIND,
    HEADLINE,
    PENALTIES,
    PRESETS,
    SHORT,
    GANConfig,
    Judge,
    build_critic,
    build_generator,
    suited,
)
from mezzotint.families.groups import Told
from mezzotint.families.steadying import care_after
from mezzotint.nets.adversaries import has_batch_norm, held_still
from mezzotint.noise import slerp, truncate
from mezzotint.seeds import ImageNoise, image_seeds

SETTLING, SETTLING_BATCH = 16, 128


class GAN(Family):
    """A generator from N(0, I) to images, and the critic it has to please.

    Args:
        config: options, or give them as keywords.
        generator: a network of your own, (z (N, latent), label (N,) or None) -> (N, C, H, W) in
            [-1, 1].
        critic: its opponent, (images, label) -> (N,).
    """

    kind: ClassVar[str] = "gan"
    config_class: ClassVar[type] = GANConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = frozenset({"label", "psi", "truncation"})
    unaveraged: ClassVar[tuple[str, ...]] = ("critic.",)
    short: ClassVar[tuple[Short, ...]] = SHORT
    rounds: ClassVar[str] = "critic_steps"
    headline: Mapping[str, str] = HEADLINE

    def __init__(
        self,
        config: GANConfig | None = None,
        generator: nn.Module | None = None,
        critic: nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        own = self.config
        self.generator = generator or build_generator(own)
        judged = critic or build_critic(own)
        self.critic = Judge(judged, own.augment, own.ada_target, own.ada_images)
        self.critic.premultiplied = self.premultiplied
        self.told = Told(len(own.classes), own.groups, self.shape)
        self.objective = OBJECTIVES[own.objective]
        self.separate = has_batch_norm(self.critic)
        self.steady(0)

    @classmethod
    def suited(cls, form: Form, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Networks, batch, penalty and augmentation by the size and number of the images."""
        return suited(form, given)

    def players(self) -> dict[str, Player]:
        """The critic, then the generator."""
        own = self.config
        steady = not (own.ada_target or own.spectral or has_batch_norm(self))
        even = own.penalty_every == 1 and own.penalty_end == 1
        always = own.penalty == "none" or even
        critic = Player(
            self.critic,
            self.critic_loss,
            steps=self.critic_turns if own.balance else own.critic_steps,
            options={"lr": own.critic_lr} if own.critic_lr else {},
            recordable=steady and always,
            compilable=False,
        )
        generator = Player(
            self.generator,
            self.generator_loss,
            steps=self.generator_turns if own.balance or own.generator_steps > 1 else 1,
            recordable=steady,
            compilable=False,
        )
        return {"critic": critic, "generator": generator}

    def critic_turns(self) -> int:
        """The critic's steps an iteration: one more while it is behind."""
        return int(self.config.critic_steps + (self.critic.accuracy < BEHIND))

    def generator_turns(self) -> int:
        """The generator's steps an iteration: one more while the critic is ahead, if asked to."""
        behind = self.config.balance and self.critic.accuracy > AHEAD
        return int(self.care.generator_steps + behind)

    def critic_loss(self, batch: Batch) -> Losses:
        """The critic's objective and, every so many steps, its penalty times that number.

        The penalty joins a step of the objective instead of taking one of its own, so the optimiser
        takes as many steps as without it and needs no correction of its rate and betas, which
        1912.04958 (appendix B) makes for its k + 1 steps in place of k.
        """
        told = self._told(batch)
        with torch.no_grad():
            fake = self.generator(self._latents(batch), told)
        uniform = self._uniform(batch), self._uniform(batch)
        real_out, fake_out = self._judge(batch.images, fake, told, uniform)
        sure = accuracy(real_out.detach(), fake_out.detach())
        loss = self.objective.critic(real_out, fake_out)
        penalty = self._penalty(batch, fake, told, uniform)
        if self.training:
            self.critic.remember(real_out - self._border(real_out, fake_out), sure, batch.turn)
        report = {"real": real_out.mean(), "fake": fake_out.mean(), "accuracy": sure}
        report |= {"penalty": penalty} if self.care.penalty != "none" else {}
        report |= {"augmented": self.critic.chance.clone()} if self.config.ada_target else {}
        return {"loss": loss + penalty} | {name: one.detach() for name, one in report.items()}

    def generator_loss(self, batch: Batch) -> Losses:
        """The generator's objective, through a critic that is held still."""
        told = self._told(batch)
        fake = self.generator(self._latents(batch), told)
        uniform = self._uniform(batch), self._uniform(batch)
        with held_still(self.critic):
            fake_out = self.critic(fake, told, uniform[1])
            real_out = fake_out.detach()
            if self.objective.pairs:
                with torch.no_grad():
                    real_out = self.critic(batch.images, told, uniform[0])
        return {"loss": self.objective.generator(real_out, fake_out)}

    def _judge(
        self,
        real: Tensor,
        fake: Tensor,
        told: Tensor | None,
        uniform: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        """Outputs for real and made images: in one pass, unless batch norm would mix them."""
        if self.separate:
            return self.critic(real, told, uniform[0]), self.critic(fake, told, uniform[1])
        labels = None if told is None else torch.cat([told, told])
        numbers = None if uniform[0] is None or uniform[1] is None else torch.cat(uniform)  # type: ignore[arg-type]
        both = self.critic(torch.cat([real, fake]), labels, numbers).chunk(2)
        return both[0], both[1]

    def _border(self, real_out: Tensor, fake_out: Tensor) -> Tensor | float:
        """Where the critic takes a real image for a made one, for ADA's signs.

        An objective that knows differences alone has no zero; halfway between the means is one.
        """
        return 0.0 if self.objective.absolute else (real_out.mean() + fake_out.mean()) / 2

    def _penalty(
        self,
        batch: Batch,
        fake: Tensor,
        told: Tensor | None,
        uniform: tuple[Tensor | None, Tensor | None],
    ) -> Tensor:
        """The weighted penalty where it is due, 0 where it is not."""
        care = self.care
        if care.penalty == "none" or batch.turn % care.every:
            return batch.images.new_zeros(())
        share = batch.noise.rand()
        found = PENALTIES[care.penalty](
            lambda images: self.critic(images, told, uniform[0]),
            lambda images: self.critic(images, told, uniform[1]),
            batch.images,
            fake,
            share,
        )
        weighted: Tensor = found * (care.weight * care.every * self.config.left(batch.progress))
        return weighted

    def _latents(self, batch: Batch) -> Tensor:
        return batch.noise.randn(self.config.latent)

    def _uniform(self, batch: Batch) -> Tensor | None:
        count = self.critic.numbers
        return batch.noise.rand(count) if count else None

    def _told(self, batch: Batch) -> Tensor | None:
        return self.told.of(batch.images, batch.labels)

    @torch.no_grad()
    def validation_loss(self, batch: Batch) -> Losses:
        """How far made images are from held-out ones, whatever the critic thinks.

        The players' losses say who is ahead, not how good the images are. ``loss`` is the energy
        distance between pixels of as many made images; what the critic says of held-out images is
        beside it: far below what it says of training images, it knows those by heart.
        """
        told = self._told(batch)
        fake = self.generator(self._latents(batch), told)
        real_out, fake_out = self._judge(batch.images, fake, told, (None, None))
        found = {"loss": energy_distance(batch.images, fake)}
        return found | {"critic.real": real_out.mean(), "critic.fake": fake_out.mean()}

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        batch: int = 64,
        label: Label = None,
        truncation: float = 0.0,
        psi: float = 1.0,
    ) -> Tensor:
        """New images (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone.

        Args:
            seeds: one an image.
            batch: images at a time; changes no pixel.
            label: class name or number for all, or one each; None draws one from each seed;
                "none" asks for no class.
            truncation: keep z within so many standard deviations: fewer odd images, less variety;
                0: everywhere.
            psi: what z is multiplied by: below 1 nearer to the middle, 0 the middle itself.

        Raises:
            UsageError: no seeds, an unknown label.
        """
        numbers = require_seeds(seeds)
        at_least(1, batch=batch)
        at_least(0, truncation=truncation, psi=psi)
        told = self.told.asked(numbers, self.labels_of(numbers, label))
        z = truncate(ImageNoise(numbers).randn(self.config.latent), truncation)
        return self._make(z * psi, told)

    @torch.inference_mode()
    def interpolate(
        self,
        first: int,
        second: int,
        count: int,
        label: Label = None,
        truncation: float = 0.0,
        psi: float = 1.0,
    ) -> Tensor:
        """Images (count, C, H, W) of latents on the great circle between two seeds' latents.

        Both ends are what :meth:`sample` makes of the seeds where there are no classes or groups;
        the class is that of the first.
        """
        ends = truncate(ImageNoise([first, second]).randn(self.config.latent), truncation)
        z = slerp(ends[:1], ends[1:], torch.linspace(0, 1, count).view(-1, 1))
        told = self.told.asked([first] * count, self.labels_of([first] * count, label))
        return self._make(z * psi, told)

    def _make(self, z: Tensor, told: Tensor | None) -> Tensor:
        """Images on the CPU, in chunks of one size: a row never depends on its neighbours."""
        z = z.to(self.device)
        told = None if told is None else told.to(self.device)
        pick = (lambda rows: None) if told is None else told.__getitem__
        made = chunked(lambda rows: self.generator(z[rows], pick(rows)).cpu(), torch.arange(len(z)))
        return self.outward(made.clamp(-1, 1))

    def labels_of(self, seeds: Sequence[int], label: Label = None) -> list[int] | None:
        """The class number each seed's image is asked to be, -1 for none."""
        return class_numbers(seeds, label, self.config.classes)

    @property
    def prepared(self) -> bool:
        """Whether the groups, if there are to be any, have been found."""
        return self.told.groups is None or self.told.groups.fitted

    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Find the groups in training images (N, C, H, W) in [-1, 1] of classes ``labels``."""
        if self.told.groups is not None:
            self.told.groups.fit(images, labels if self.config.classes else None)

    def steady(self, alarms: int) -> str:
        """A penalty, or twice the penalty, for each time that training went back."""
        self.care = care_after(alarms, self.config, not self.separate)
        return self.care.words

    @torch.no_grad()
    def settle(self) -> None:
        """Batch norms' statistics of the generator's present weights, over 2,048 latents.

        Averages of statistics are not the statistics of averaged weights (1809.11096, section 3.3).
        """
        layers = [part for part in self.generator.modules() if isinstance(part, nn.BatchNorm2d)]
        if not layers:
            return
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.train()
            layer.momentum = None  # a plain mean over the batches
        seeds = image_seeds(0, SETTLING * SETTLING_BATCH)
        z = ImageNoise(seeds, self.device, "settle").randn(self.config.latent)
        told = self.told.asked(seeds, self.labels_of(seeds))
        for part in torch.split(torch.arange(len(z)), SETTLING_BATCH):
            self.generator(z[part], None if told is None else told.to(self.device)[part])
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
