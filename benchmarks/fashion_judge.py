"""The judge of Fashion-MNIST samples: a small classifier trained on the train split.

Frechet distances on its features are called FD[lenet]; they are not FID and compare with nothing
but numbers of this same judge. Trained from a fixed seed; weights are kept in the cache.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import mezzotint as mz
from mezzotint.data.cache import cache_home
from mezzotint.metrics.distances import frechet
from mezzotint.metrics.neighbours import prdc

EPOCHS, BATCH, SEED = 4, 128, 0


class Lenet(nn.Module):
    """Two convolutions, a layer of 128 features, ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 128) and logits (N, 10) of (N, 1, 28, 28) in [-1, 1]."""
        features = self.body(images)
        return features, self.head(features)


def _floats(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _train(data: mz.Images) -> Lenet:
    torch.manual_seed(SEED)
    net = Lenet()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    labels = torch.from_numpy(data.labels_of(range(len(data))))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(data)).split(BATCH):
            _, logits = net(_floats(data.gather(np.sort(rows.numpy()))))
            optimiser.zero_grad()
            F.cross_entropy(logits, labels[rows.sort().values]).backward()
            optimiser.step()
    return net


def judge() -> Lenet:
    """The trained classifier, from the cache when it is there."""
    path: Path = cache_home() / "benchmarks" / f"lenet-{EPOCHS}-{SEED}.safetensors"
    if not path.exists():
        net = _train(mz.load_images("fashion-mnist").train)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(net.state_dict(), path)
    net = Lenet()
    net.load_state_dict(load_file(path))
    return net.eval()


@torch.inference_mode()
def look(net: Lenet, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 128) and predicted classes (N,) of uint8 (N, 28, 28, 1)."""
    parts = [net(part) for part in _floats(pixels).split(500)]
    features = torch.cat([features for features, _ in parts]).numpy()
    return features, torch.cat([logits.argmax(1) for _, logits in parts]).numpy()


def distance(net: Lenet, pixels: np.ndarray, reference: np.ndarray) -> float:
    """FD[lenet] of samples against features of the test images."""
    return frechet(look(net, pixels)[0], reference)


def coverage(net: Lenet, pixels: np.ndarray, reference: np.ndarray) -> float:
    """Share of real images near which a sample lies, equal numbers of both, k = 5."""
    rows = np.linspace(0, len(reference) - 1, len(pixels)).astype(int)
    return prdc(reference[rows], look(net, pixels)[0]).coverage
