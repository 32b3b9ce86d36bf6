"""Variational autoencoders (Kingma & Welling, 1312.6114).

The loss is the negative ELBO in nats: summed over pixels and latents, mean over the batch, so that
beta = 1 is the bound itself. Inside the family pixels are in [0, 1]; outside, [-1, 1].
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mezzotint.config import option
from mezzotint.errors import ConfigError
from mezzotint.families.base import (
    CHUNK,
    Batch,
    Family,
    Form,
    Losses,
    Player,
    chunked,
    from_unit,
    in_batches,
    to_unit,
)
from mezzotint.families.coding import (
    CoderConfig,
    build_decoder,
    build_encoder,
    encoder_stages,
    latent_shape,
    start_from,
    suited,
)
from mezzotint.likelihoods import (
    LIKELIHOODS,
    dequantise,
    importance_weighted_bound,
    kl_to_standard_normal,
    log_standard_normal,
)
from mezzotint.nets.principal import PrincipalEncoder
from mezzotint.seeds import Draws, ImageNoise

LOG_VARIANCE_RANGE = (-20.0, 10.0)
LOG_SCALE_RANGE = (-6.0, 3.0)
CACHED_NUMBERS = 2**19
MEASURED, LEAST_ERROR = 256, 0.01


@dataclass(frozen=True)
class VAEConfig(CoderConfig):
    """Options of a VAE."""

    likelihood: Literal["gaussian", "bernoulli", "logistic"] = option(
        "gaussian", "p(x | z): gaussian with learnt variance, bernoulli, discretised logistic"
    )
    beta: float = option(1.0, "weight of the KL term; 1 is the ELBO", low=0, high=1e4)
    beta_warmup: float = option(0.0, "share of the run over which beta rises from 0", 0, 1)
    init: Literal["random", "data"] = option(
        "random",
        "data: begin with the images' mean colour and the scale of their spread (new runs)",
    )
    free_bits: float = option(0.0, "nats a latent may hold for free (1606.04934)", low=0, high=100)

    def __post_init__(self) -> None:
        """Check every option."""
        super().__post_init__()
        if self.network == "principal" and self.likelihood == "bernoulli":
            what = "principal components add up pixels, and bernoulli wants logits"
            raise ConfigError(what, where="network", fix="likelihood=gaussian, or network=conv")


_FAST = {"optimizer": "muon", "lr": 1e-2, "decay": "linear", "beta_warmup": 0.1}
_DEEP = _FAST | {"blocks": 1, "norm": "group", "activation": "silu"}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _FAST | {"latent": 32},
    "classic": {"widths": (32, 64, 128), "latent": 32, "size": 32, "lr": 1e-3},
    "mlp": {"network": "mlp", "widths": (400,), "latent": 20, "likelihood": "bernoulli"},
    "deep": _DEEP | {"latent": 64},
    "spatial": _DEEP | {"widths": (64, 128), "spatial": True, "latent": 4},
    "bits": _FAST | {"likelihood": "logistic", "latent": 64},
}


class VAE(Family):
    """Encoder to a Gaussian posterior, decoder to a likelihood, standard normal prior.

    Args:
        config: options, or give them as keywords.
        encoder: a network of your own, (N, C, H, W) in [0, 1] -> (N, 2 latent): mu, log-variance.
        decoder: its partner, (N, latent) -> (N, C, H, W), raw means or logits.
    """

    kind: ClassVar[str] = "vae"
    config_class: ClassVar[type] = VAEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    started: Tensor

    def __init__(
        self,
        config: VAEConfig | None = None,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        self.encoder = encoder or build_encoder(self.config, 2 * self.config.latent)
        self.decoder = decoder or build_decoder(self.config, "none")
        self.likelihood = LIKELIHOODS[self.config.likelihood]
        scale = torch.full((self.config.channels, 1, 1), self.likelihood.start)
        if self.likelihood.learns_scale:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale)
        if self._starts:
            self.register_buffer("started", torch.zeros(()))

    @classmethod
    def suited(cls, form: Form, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A start from the data at any size; larger images get a network and a latent to match."""
        fits = given.get("likelihood") != "bernoulli"
        return {"init": "data", **(suited(form, given) if fits else {})}

    @property
    def _starts(self) -> bool:
        return bool(self.config.init == "data" or self.config.network == "principal")

    @property
    def prepared(self) -> bool:
        """Whether it has seen what the images have in common, if it is to."""
        return not self._starts or bool(self.started)

    @torch.no_grad()
    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Begin with what images (N, C, H, W) in [-1, 1] have in common, and how they spread.

        The scale is the one with the highest likelihood for the errors of the untrained networks
        (2006.13202, eq. 6): those of the mean colour, or of principal components.
        """
        clean = to_unit(images)
        start_from(clean, self.encoder, self.decoder, self.config.likelihood == "bernoulli")
        some = clean[:: max(1, len(clean) // MEASURED)][:MEASURED].to(self.device)
        parts = [self._expected(part) - part for part in torch.split(some, CHUNK)]
        variance = torch.cat(parts).square().mean((0, 2, 3)).clamp_min(LEAST_ERROR**2)
        if self.likelihood.learns_scale:
            scale = self.likelihood.scale_of_error * variance.sqrt()
            self.log_scale.copy_(scale.log().view(-1, 1, 1))
        if isinstance(self.encoder, PrincipalEncoder):
            self.encoder.expect_error(float(variance.mean()))
        self.started.fill_(1)

    def _expected(self, clean: Tensor) -> Tensor:
        return self.likelihood.to_pixels(self.decoder(self.posterior(clean)[0]))

    def players(self) -> dict[str, Player]:
        """One player: encoder, decoder and the likelihood's scale."""
        steady = self.config.beta_warmup == 0
        return {"vae": Player(self, self.loss, recordable=steady)}

    def beta(self, progress: float) -> float:
        """The weight of the KL term at a share of the run."""
        warmup = self.config.beta_warmup
        rising = min(1.0, progress / warmup) if warmup > 0 else 1.0
        return float(self.config.beta * rising)

    def loss(self, batch: Batch) -> Losses:
        """-ELBO in nats an image: -E log p(x | z) + beta KL (1312.6114, eq. 10)."""
        clean = to_unit(batch.images)
        target = self._target(clean, batch.noise)
        mean, log_variance = self.posterior(clean)
        latent = mean + torch.exp(0.5 * log_variance) * batch.noise.randn(*mean.shape[1:])
        log_prob = self.log_likelihood(target, self.decoder(latent)).mean()
        kl = kl_to_standard_normal(mean, log_variance).flatten(1)
        beta = self.beta(batch.progress)
        loss = -log_prob + beta * free_nats(kl, self.config.free_bits)
        report = {"reconstruction": -log_prob.detach(), "kl": kl.detach().sum(1).mean()}
        return {"loss": loss, **report, "beta": torch.full_like(loss, beta)}

    def _target(self, clean: Tensor, draws: Draws) -> Tensor:
        """Pixels as the likelihood wants them: a density needs dequantised ones."""
        return dequantise(clean, draws.rand(*clean.shape[1:])) if self._continuous else clean

    @property
    def _continuous(self) -> bool:
        return self.likelihood.continuous

    def posterior(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log-variance of q(z | x) for pixels in [0, 1]."""
        mean, log_variance = self.encoder(clean).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def log_likelihood(self, images: Tensor, decoded: Tensor) -> Tensor:
        """Nats of images (..., C, H, W) given the decoder's output."""
        return self.likelihood.log_prob(images, decoded, self.log_scale.clamp(*LOG_SCALE_RANGE))

    @torch.inference_mode()
    def bound(self, images: Tensor, draws: Draws, samples: int = 1) -> dict[str, Tensor]:
        """ELBO terms and the importance-weighted bound of log p(x), in nats (1509.00519).

        Args:
            images: (N, C, H, W) in [-1, 1].
            draws: random numbers, one row an image.
            samples: K of the bound; the bound rises with K towards log p(x).

        Returns:
            (N,) tensors: ``reconstruction`` (-E log p(x|z) over the K draws), ``kl`` (closed form),
            ``elbo`` and ``iw_bound`` (both are log-probabilities: higher is better), and
            (N, latent) ``kl_per_latent``.
        """
        clean = to_unit(self.inward(images.to(self.device)))
        target = self._target(clean, draws)
        mean, log_variance = (part.flatten(1) for part in self.posterior(clean))
        log_weights, log_probs = self._log_weights(target, mean, log_variance, draws, samples)
        kl = kl_to_standard_normal(mean, log_variance)
        reconstruction = -log_probs.mean(0)
        return {
            "reconstruction": reconstruction,
            "kl": kl.sum(1),
            "elbo": -reconstruction - kl.sum(1),
            "iw_bound": importance_weighted_bound(log_weights),
            "kl_per_latent": kl,
        }

    def _log_weights(
        self, target: Tensor, mean: Tensor, log_variance: Tensor, draws: Draws, samples: int
    ) -> tuple[Tensor, Tensor]:
        """log p(x|z) p(z) / q(z|x) and log p(x|z) of K draws: two (K, N) tensors.

        The images are encoded once; the decoder runs on several draws of every image at a time.
        """
        shape = latent_shape(self.config)
        spread, log_det = torch.exp(0.5 * log_variance)[:, None], 0.5 * log_variance.sum(1)[:, None]
        weights, probs = [], []
        for noise in torch.split(draws.randn(samples, mean.shape[1]), _draws_at_once(target), 1):
            latent = mean[:, None] + spread * noise
            decoded = self.decoder(latent.view(-1, *shape)).unflatten(0, noise.shape[:2])
            log_prob = self.log_likelihood(target[:, None], decoded)
            log_q = log_standard_normal(noise) - log_det
            weights.append(log_prob + log_standard_normal(latent) - log_q)
            probs.append(log_prob)
        return torch.cat(weights, 1).T, torch.cat(probs, 1).T

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Posterior means of images in [-1, 1]: (N, latent) or (N, latent, h, w)."""
        clean = to_unit(self.inward(images.to(self.device)))
        return chunked(lambda part: self.posterior(part)[0], clean)

    @torch.inference_mode()
    def stages(self, images: Tensor) -> list[Tensor]:
        """The encoder's maps of images in [-1, 1]; see :func:`families.coding.encoder_stages`."""
        return encoder_stages(self.encoder, to_unit(self.inward(images.to(self.device))))

    def embed(self, images: Tensor) -> Tensor:
        """mu as vectors (N, d): the same at every call."""
        return self.encode(images).flatten(1)

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """Expected images (N, C, H, W) in [-1, 1] of latents, flat or in their own shape."""
        shaped = latent.to(self.device).view(-1, *latent_shape(self.config))
        found = chunked(lambda part: self.likelihood.to_pixels(self.decoder(part)), shaped)
        return self.outward(from_unit(found))

    def reconstruct(self, images: Tensor) -> Tensor:
        """Decoded posterior means of images in [-1, 1], same shape and range."""
        return self.decode(self.encode(images))

    def sample(self, seeds: Iterable[int], batch: int = 64) -> Tensor:
        """Decoded draws from N(0, I): (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone.

        Raises:
            UsageError: no seeds.
        """

        def make(noise: ImageNoise) -> Tensor:
            return self.decode(noise.randn(*latent_shape(self.config)))

        return in_batches(make, seeds, batch, self.device)


def _draws_at_once(images: Tensor) -> int:
    """How many decoded copies of (N, C, H, W) images fit a processor's cache together."""
    return max(1, CACHED_NUMBERS // images.numel())


def free_nats(kl: Tensor, allowance: float) -> Tensor:
    """sum_j max(allowance, batch mean of KL_j): (N, d) -> scalar (1606.04934, app. C.8)."""
    means = kl.mean(0)
    return means.clamp_min(allowance).sum() if allowance > 0 else means.sum()
