"""What a family may be able to do; callers ask by these, never by a family's name."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mezzotint.noise import Level, Levels, Process
from mezzotint.seeds import Draws
from mezzotint.stepping import Denoised


@runtime_checkable
class Samples(Protocol):
    """Makes new images from seeds."""

    def sample(self, seeds: Iterable[int], batch: int = 64) -> Tensor:
        """Images (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """Predicts the clean image behind a noisy one, at any level of a forward process."""

    config: Any
    process: Process
    told: Any

    def denoise(self, noisy: Tensor, level: Level, told: Tensor | None = None) -> Tensor:
        """Clean images (N, C, H, W) seen behind noisy ones."""
        ...

    def squared_error(
        self, clean: Tensor, noise: Tensor, levels: Levels, told: Tensor | None
    ) -> Tensor:
        """Mean squared error of the prediction for each image: (N,)."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """Looks at the training images once, before the first step."""

    @property
    def prepared(self) -> bool:
        """Whether it has, or has no need to."""
        ...

    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Look at images (N, C, H, W) in [-1, 1] of classes ``labels`` (N,)."""
        ...


@runtime_checkable
class Caches(Protocol):
    """Needs of each image and caption something that is the same at every step."""

    def known_of_images(self, images: Tensor) -> dict[str, Tensor]:
        """Rows by name, of images (N, C, H, W) in [-1, 1]; of images as they are, not moved."""
        ...

    def known_of_captions(self, captions: Sequence[str | None]) -> dict[str, Tensor]:
        """Rows by name."""
        ...


@runtime_checkable
class Perceives(Protocol):
    """Has a loss that looks at images through a network that others trained."""

    @property
    def wants_eyes(self) -> bool:
        """Whether it is to be given that network."""
        ...

    def look_with(self, eyes: Any) -> None:
        """Take it: a module, (N, C, H, W) in [-1, 1] -> maps (N, d, h, w)."""
        ...


@runtime_checkable
class Founded(Protocol):
    """Stands on a model of another family, which is trained first and then stays as it is."""

    @classmethod
    def foundation(cls) -> str:
        """The name of that family."""
        ...

    @classmethod
    def stage(cls, config: Any) -> tuple[str, dict[str, Any]]:
        """Preset and options of the run that trains it, for a model of these options."""
        ...

    def adopt(self, coder: Any) -> None:
        """Take over the weights of a trained model of that family."""
        ...


@runtime_checkable
class Prompts(Protocol):
    """Makes images of what texts say."""

    def prompts_of(self, seeds: Sequence[int], prompt: Any = None) -> list[str]:
        """The text of each seed's image."""
        ...


@runtime_checkable
class Settles(Protocol):
    """Holds statistics that belong to its weights and have to be taken anew for averaged ones."""

    def settle(self) -> None:
        """Take them anew, in place, the same way every time."""
        ...


@runtime_checkable
class Distils(Protocol):
    """Can teach a copy of itself to sample in a step or two."""

    def student(self) -> tuple[Any, dict[str, Any]]:
        """A copy with the objective and the sampling of few steps; training options for it."""
        ...


@runtime_checkable
class Labels(Protocol):
    """Makes images of classes it can be asked for."""

    config: Any

    def labels_of(self, seeds: Sequence[int], label: Any = None) -> list[int] | None:
        """The class number of each seed's image, -1 for none; None without classes."""
        ...


@runtime_checkable
class Joins(Protocol):
    """Makes each image by a walk of its own that may share forward passes with others."""

    config: Any

    def looking(self, seed: int, label: Any = None, **settings: Any) -> Any:
        """The walk of one seed's image, for :mod:`mezzotint.families.walking`."""
        ...

    def seen(self, noisy: Tensor, levels: Levels, told: Tensor | None = None) -> Denoised:
        """Clean images (N, C, H, W) seen behind noisy ones, each at a level of its own."""
        ...


@runtime_checkable
class Pictures(Protocol):
    """Walks elsewhere than among pixels."""

    def pictures(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of what a walk has come to."""
        ...


@runtime_checkable
class Films(Protocol):
    """Makes images step by step and can show the steps."""

    def film(self, seeds: Iterable[int], frames: int = 10, **options: Any) -> tuple[Tensor, Tensor]:
        """The states x_t and the x_0 predicted at them, each (n, frames, C, H, W) in [-1, 1]."""
        ...


@runtime_checkable
class Interpolates(Protocol):
    """Walks from the image of one seed to that of another."""

    def interpolate(self, first: int, second: int, count: int, **options: Any) -> Tensor:
        """Images (count, C, H, W) in [-1, 1], both ends included."""
        ...


@runtime_checkable
class Generates(Protocol):
    """Makes images of normal latents in one pass that a gradient can be taken through.

    ``generator`` maps latents (N, ``config.latent``) and what they are told, (N,) or None, to
    images (N, C, H, W) in [-1, 1]; ``told.asked`` draws the latter from seeds and class numbers.
    """

    config: Any
    told: Any
    generator: Any


@runtime_checkable
class Encodes(Protocol):
    """Turns images into vectors and latents back into images."""

    def embed(self, images: Tensor) -> Tensor:
        """Vectors (N, d), the same at every call."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Gives its own version of an image."""

    def reconstruct(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> the same shape and range."""
        ...


@runtime_checkable
class Stages(Protocol):
    """Shows what its network makes of an image on the way, as maps."""

    def stages(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) in [-1, 1] -> maps (N, d, h, w), finest first; none of some networks."""
        ...


@runtime_checkable
class Marks(Protocol):
    """May have learnt to say where an image is damaged."""

    @property
    def marking(self) -> bool:
        """Whether it has."""
        ...

    def mark(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> logits (N, H, W)."""
        ...


@runtime_checkable
class Turns(Protocol):
    """May have learnt which way images are turned."""

    @property
    def turning(self) -> bool:
        """Whether it has."""
        ...

    def surprise(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> log nats of how unsure it is of their turns (N,)."""
        ...


@runtime_checkable
class Corrupts(Protocol):
    """Damages images the way it was trained to repair."""

    def corrupt(self, images: Tensor, draws: Draws, strength: float | None = None) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> the same shape and range."""
        ...


@runtime_checkable
class Bounds(Protocol):
    """Gives a bound on the likelihood of images."""

    def bound(self, images: Tensor, draws: Draws, samples: int) -> dict[str, Tensor]:
        """Per-image terms (N,) in nats; see the family."""
        ...


@runtime_checkable
class Steadies(Protocol):
    """Can collapse while it trains, and has means to make that less likely."""

    def steady(self, alarms: int) -> str:
        """Train with the care that so many alarms call for; what it does, in words, or nothing."""
        ...
