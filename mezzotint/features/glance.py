"""Two looks at images that cost milliseconds, for watching a model while it trains.

``textures`` are responses of convolutions with fixed random weights: a network that knows nothing
tells what is far from every photograph, digit or drawing (2002.09797, section 4.3, finds random
embeddings fit for density and coverage). ``cells`` are the pixels, averaged: exact copies stay at
distance 0. Both are projected on the principal components of training images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mezzotint.features.extractor import PART, Features, Pixels, levels
from mezzotint.metrics.arrays import squared_distances

SIDE, CELLS, AXES = 32, 16, 48  # largest side looked at, of the averages; components kept
WIDTHS = (32, 64, 128)
RIDGE, NEIGHBOURS = 100.0, 5

Numbers = NDArray[np.float64]
Kinds = NDArray[np.int64]


@dataclass(frozen=True)
class Projection:
    """Principal components: rows minus ``mean`` (d,), times ``axes`` (d, k)."""

    mean: Numbers
    axes: Numbers

    @classmethod
    def fit(cls, rows: Features, count: int = AXES) -> "Projection":
        """The ``count`` directions of (N, d) that vary most, or all where there are fewer."""
        mean = rows.mean(0, dtype=np.float64)
        centred = rows - mean
        return cls(mean, np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count])

    def __call__(self, rows: Features) -> Features:
        """(N, d) -> (N, k)."""
        return np.asarray((rows - self.mean) @ self.axes, np.float32)


@dataclass(frozen=True)
class View:
    """One way to look at images.

    Attributes:
        rows: uint8 (N, H, W, C) -> numbers (N, d).
        project: those -> (N, 48).
        classify: those -> class numbers (N,); None without classes.
    """

    rows: Callable[[Pixels], Features]
    project: Projection
    classify: Callable[[Features], Kinds] | None

    def points(self, pixels: Pixels) -> Features:
        """Points (N, 48) of uint8 (N, H, W, C), without their classes, which cost more."""
        return self.project(self.rows(pixels))

    def look(self, pixels: Pixels) -> tuple[Features, Kinds | None]:
        """Points (N, 48) of uint8 (N, H, W, C), and their likely classes (N,) if there are any."""
        rows = self.rows(pixels)
        return self.project(rows), None if self.classify is None else self.classify(rows)


class Glance(NamedTuple):
    """The two looks; they tell classes apart in ways that do not fail together."""

    textures: View
    cells: View


def open_glance(pixels: Pixels, labels: Kinds | None, classes: int) -> Glance:
    """Ways to look at images like these.

    Args:
        pixels: uint8 (N, H, W, C), some training images.
        labels: (N,) their classes, below 0 for none; or None.
        classes: how many there are.
    """
    network = random_network(pixels.shape[3])
    known = np.zeros(len(pixels), bool) if labels is None else labels >= 0
    told = labels if labels is not None and len(np.unique(labels[known])) > 1 else None

    def view(look: Callable[[Pixels], Features], learn: Learner) -> View:
        rows = look(pixels)
        project = Projection.fit(rows)
        learnt = None if told is None else learn(rows[known], told[known], project, classes)
        return View(look, project, learnt)

    return Glance(
        view(lambda images: responses(network, images), by_least_squares),
        view(averages, by_neighbours),
    )


Learner = Callable[[Features, Kinds, Projection, int], Callable[[Features], Kinds]]


def by_least_squares(
    rows: Features, labels: Kinds, project: Projection, classes: int
) -> Callable[[Features], Kinds]:
    """Ridge regression from scaled rows (N, d) to one column a class: the largest column wins."""
    scale = rows.std(0, dtype=np.float64) + 1e-6

    def scaled(found: Features) -> Numbers:
        ones = np.ones((len(found), 1))
        return np.concatenate([(found - project.mean) / scale, ones], 1)

    known = scaled(rows)
    table = known.T @ known
    table[np.diag_indices_from(table)] += RIDGE
    weights = np.linalg.solve(table, known.T @ np.eye(classes)[labels])
    return lambda found: np.asarray((scaled(found) @ weights).argmax(1))


def by_neighbours(
    rows: Features, labels: Kinds, project: Projection, classes: int
) -> Callable[[Features], Kinds]:
    """The class that most of the five nearest known images have."""
    known, votes = project(rows).astype(np.float64), np.eye(classes)[labels]
    count = min(NEIGHBOURS, len(known))

    def classify(found: Features) -> Kinds:
        table = squared_distances(project(found).astype(np.float64), known)
        near = np.argpartition(table, count - 1, axis=1)[:, :count]
        return np.asarray(votes[near].sum(1).argmax(1))

    return classify


def random_network(channels: int) -> nn.Module:
    """Three convolutions with He's random weights (1502.01852), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in zip((channels, *WIDTHS), WIDTHS, strict=False):
        layer = nn.Conv2d(inputs, outputs, 3 if layers else 5, 2, 1 if layers else 2, bias=False)
        with torch.no_grad():
            layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()).requires_grad_(False)


@torch.inference_mode()
def responses(network: nn.Module, pixels: Pixels) -> Features:
    """What a network says of uint8 (N, H, W, C) images brought to 32 pixels at most: (N, d)."""
    parts = [pixels[at : at + PART] for at in range(0, len(pixels), PART)]
    return torch.cat([network(_shrunk(part, SIDE)) for part in parts]).numpy()


def averages(pixels: Pixels) -> Features:
    """Pixels of uint8 (N, H, W, C) averaged to 16 x 16 cells at most: (N, cells)."""
    parts = [pixels[at : at + 1024] for at in range(0, len(pixels), 1024)]
    return torch.cat([_shrunk(part, CELLS).flatten(1) for part in parts]).numpy()


def _shrunk(pixels: Pixels, side: int) -> Tensor:
    images = levels(pixels) / 127.5 - 1
    grid = min(side, images.shape[2]), min(side, images.shape[3])
    return images if grid == images.shape[2:] else F.adaptive_avg_pool2d(images, grid)
