"""A player at work: its loss as a module, its optimiser, its recorded pass."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from mezzotint.config import override
from mezzotint.families.base import Batch, Losses, Player
from mezzotint.training.optimisers import build
from mezzotint.training.recipe import Recipe
from mezzotint.training.recording import Recording

if TYPE_CHECKING:
    from accelerate import Accelerator


class Turn(nn.Module):
    """A player's loss as a module, so that accelerate can wrap it and its parameters."""

    def __init__(self, player: Player) -> None:
        super().__init__()
        self.module = player.module
        self.loss = player.loss

    def forward(self, batch: Batch) -> Losses:
        """The player's losses."""
        return self.loss(batch)


@dataclass
class Seat:
    """A player at work: its wrapped loss and its optimiser."""

    name: str
    player: Player
    turn: nn.Module
    optimiser: Optimizer
    lr: float
    recording: Recording | None = None


def take_seat(name: str, player: Player, recipe: Recipe, accelerator: "Accelerator") -> Seat:
    """Give a player an optimiser and wrap both for the device and the processes."""
    own = override(recipe, player.options)
    parameters = [p for p in player.module.parameters() if p.requires_grad]
    optimiser = build(parameters, own)
    turn, optimiser = accelerator.prepare(Turn(player), optimiser)
    return Seat(name, player, turn, optimiser, own.lr)


def can_record(seat: Seat, accelerator: "Accelerator") -> bool:
    """Whether a player's pass can be recorded: on one CUDA device, without a loss scale."""
    alone = accelerator.num_processes == 1 and accelerator.scaler is None
    return alone and accelerator.device.type == "cuda" and seat.player.recordable
