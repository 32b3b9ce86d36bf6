"""Which way an image was turned and moved: a small network that has to know what things look like.

Trained on good images alone it is sure of their turns, and less so of those of other things
(1805.10917: classification of geometric transformations as a detector).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.nets.layers import ACTIVATIONS, NORMS

SIDE = 32  # the largest side it looks at
TURNS, MOVES = 4, 3
WIDTHS = (48, 96, 96)
LEAST_SURPRISE = 1e-3  # nats; who is surer than that is as good as certain
FAR = 0.25  # how far an image is moved, as a share of its side


class Turner(nn.Module):
    """Guesses turn, move down and move right: (N, channels, s, s) -> (N, 4 + 3 + 3) logits."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for width in WIDTHS:
            for inner, stride in ((before, 2), (width, 1)):
                layers += [nn.Conv2d(inner, width, 3, stride, 1), *NORMS["group"](width)]
                layers += [ACTIVATIONS["silu"]()]
            before = width
        self.layers = nn.Sequential(*layers)
        self.guess = nn.Linear(before, TURNS + 2 * MOVES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of square images."""
        logits: Tensor = self.guess(self.layers(images).mean((2, 3)))
        return logits


def small_square(images: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, s, s), s the longer side but 32 at the most."""
    side = min(max(images.shape[-2:]), SIDE)
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)


def moved(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Square images moved by -1, 0 or 1 quarters of the side, the edge repeated.

    Args:
        images: (N, C, s, s).
        down, right: (N,) int64, 0 to 2 for -1 to 1.
    """
    side = images.shape[-1]
    step = max(1, round(FAR * side))
    for axis, moves in ((2, down), (3, right)):
        wanted = torch.arange(side, device=images.device) - step * (moves[:, None] - 1)
        shape = [len(images), 1, 1, 1]
        shape[axis] = side
        index = wanted.clamp(0, side - 1).view(shape)
        images = images.gather(axis, index.expand_as(images))
    return images


def all_turns(images: Tensor) -> Tensor:
    """(N, C, s, s) -> (4 N, C, s, s): all of one turn, then all of the next."""
    return torch.cat([images.rot90(turn, (2, 3)) for turn in range(TURNS)])


def turning_loss(turner: nn.Module, images: Tensor, uniform: Tensor) -> Tensor:
    """Mean cross-entropy of the turns and half of that of the moves.

    Args:
        images: (N, C, H, W).
        uniform: (N, 2) in [0, 1), decides the moves.
    """
    moves = (uniform * MOVES).long().clamp_max(MOVES - 1)
    views = all_turns(moved(small_square(images), moves[:, 0], moves[:, 1]))
    return surprises(turner(views), moves).mean()


def surprises(logits: Tensor, moves: Tensor) -> Tensor:
    """-log p of turn, and half of those of the moves, for logits of :func:`all_turns`: (4 N,)."""
    turns = torch.arange(TURNS, device=logits.device).repeat_interleave(len(moves))
    every = moves.repeat(TURNS, 1)
    down, right = logits[:, TURNS : TURNS + MOVES], logits[:, TURNS + MOVES :]
    return (
        F.cross_entropy(logits[:, :TURNS], turns, reduction="none")
        + F.cross_entropy(down, every[:, 0], reduction="none") / 2
        + F.cross_entropy(right, every[:, 1], reduction="none") / 2
    )


def mean_surprise(turner: nn.Module, images: Tensor) -> Tensor:
    """The mean over all turns and moves of square images of log -log p: (N,).

    The outer logarithm, since a view that a good image is certain of and another is not tells more
    than one on which nobody is.
    """
    found = []
    for down in range(MOVES):
        for right in range(MOVES):
            moves = torch.tensor([[down, right]], device=images.device).expand(len(images), 2)
            views = all_turns(moved(images, moves[:, 0], moves[:, 1]))
            nats = surprises(turner(views), moves).view(TURNS, -1)
            found.append(nats.clamp_min(LEAST_SURPRISE).log().mean(0))
    return torch.stack(found).mean(0)
