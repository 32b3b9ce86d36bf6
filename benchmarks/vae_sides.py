"""The same VAE in mezzotint and in pythae: same modules, same initial weights, same data.

Both sides build their networks with :func:`networks`, which depends on the seed alone. mezzotint
takes logits for a Bernoulli likelihood and pythae probabilities, so a sigmoid is added for pythae.
"""

import copy
import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import fashion
from pythae import models as pythae_models
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.data.store import load_images
from mezzotint.families.base import Batch
from mezzotint.families.vae import VAE
from mezzotint.nets.coders import MLPDecoder, MLPEncoder

LATENT = 20
SHAPE = (1, 28, 28)


class Halves(nn.Module):
    """pythae's convolutional encoder with mean and log-variance in one tensor."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        found = self.network(images)
        return torch.cat([found.embedding, found.log_covariance], 1)


class Logits(nn.Module):
    """pythae's convolutional decoder without its last sigmoid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        network.layers[-1][1] = nn.Identity()

    def forward(self, latent: Tensor) -> Tensor:
        logits: Tensor = self.network(latent).reconstruction
        return logits


class PythaeEncoder(BaseEncoder):
    """A network with mean and log-variance in one tensor as pythae wants it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> ModelOutput:
        mean, log_variance = self.network(images).chunk(2, 1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class PythaeDecoder(BaseDecoder):
    """A network that gives logits as pythae wants it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.network(latent)))


def networks(kind: str) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder modules as the library they come from defines them."""
    torch.manual_seed(0)
    if kind == "mlp":
        encoder = MLPEncoder(1, SHAPE[1:], (400,), 2 * LATENT)
        return encoder, MLPDecoder(1, SHAPE[1:], (400,), LATENT)
    config = pythae_models.VAEConfig(input_dim=SHAPE, latent_dim=LATENT)
    return Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config)


def our_model(kind: str) -> VAE:
    """mezzotint's VAE."""
    encoder, decoder = networks(kind)
    if kind == "conv":
        encoder, decoder = Halves(encoder), Logits(decoder)
    return VAE(encoder=encoder, decoder=decoder, size=28, latent=LATENT, likelihood="bernoulli")


def pythae_model(kind: str) -> pythae_models.VAE:
    """pythae's VAE."""
    encoder, decoder = networks(kind)
    if kind == "mlp":
        encoder, decoder = PythaeEncoder(encoder), PythaeDecoder(decoder)
    config = pythae_models.VAEConfig(input_dim=SHAPE, latent_dim=LATENT, reconstruction_loss="bce")
    return pythae_models.VAE(config, encoder=encoder, decoder=decoder)


class GlobalDraws:
    """Noise from torch's global generator, as pythae draws it."""

    def __init__(self, count: int) -> None:
        self.count = count

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape)

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape)


def unit_pixels(count: int) -> Tensor:
    """The first training images as float (N, 1, 28, 28) in [0, 1]."""
    images = fashion(count)
    pixels = images.gather(range(count)).astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def held_out(start: int, count: int) -> Tensor:
    """Held-out images as float (N, 1, 28, 28) in [0, 1]; mezzotint's own split."""
    images = load_images("fashion-mnist").held_out
    pixels = images.gather(range(start, start + count)).astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def our_loss(kind: str) -> float:
    """-ELBO of the initial weights on 128 images."""
    model, images = our_model(kind), unit_pixels(128)
    torch.manual_seed(1)
    return float(model.loss(Batch(images * 2 - 1, GlobalDraws(128)))["loss"].detach())


def pythae_loss(kind: str) -> float:
    """The same number by pythae."""
    model, images = pythae_model(kind), unit_pixels(128)
    torch.manual_seed(1)
    return float(model(DatasetOutput(data=images)).loss.detach())


def quiet_pythae() -> None:
    """Its trainer prints to stderr; here it prints to memory."""
    logging.getLogger("pythae").setLevel(logging.ERROR)
    for name in logging.root.manager.loggerDict:
        if name.startswith("pythae"):
            logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr = io.StringIO()


def trained_weights(path: Path, kind: str, count: int) -> Path:
    """Train our model on ``count`` images and save encoder and decoder for both sides."""
    run = mz.train(our_model(kind), fashion(60_000), out=path, images=count, batch=128)
    parts = {"encoder": run.model.encoder, "decoder": run.model.decoder}
    saved = {name: copy.deepcopy(part).state_dict() for name, part in parts.items()}
    torch.save(saved, path / "weights.pt")
    return path / "weights.pt"


def load_ours(path: str, kind: str) -> VAE:
    """Our model with saved weights."""
    return _loaded(our_model(kind), path)


def load_pythae(path: str, kind: str) -> pythae_models.VAE:
    """pythae's model with the same weights."""
    model = pythae_model(kind)
    parts = torch.load(path, weights_only=True)
    for name in ("encoder", "decoder"):
        module = getattr(model, name)
        (module.network if kind == "mlp" else module).load_state_dict(_bare(parts[name], kind))
    return model.eval()


def _loaded(model: Any, path: str) -> Any:
    parts = torch.load(path, weights_only=True)
    model.encoder.load_state_dict(parts["encoder"])
    model.decoder.load_state_dict(parts["decoder"])
    return model.eval()


def _bare(weights: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Weights under the names of the bare network."""
    return weights if kind == "mlp" else {k.removeprefix("network."): v for k, v in weights.items()}


def pythae_data(count: int) -> BaseDataset:
    """The training images as pythae holds them."""
    images = unit_pixels(count)
    return BaseDataset(images, torch.ones(len(images)))
