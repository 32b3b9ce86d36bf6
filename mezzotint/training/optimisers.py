"""Optimisers by name, and their state as plain tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mezzotint.training.muon import Muon
from mezzotint.training.recipe import Recipe

Parameters = list[nn.Parameter]


def _adam(parameters: Parameters, recipe: Recipe) -> Optimizer:
    """Adam (1412.6980); the fused kernel makes one pass over the parameters."""
    return torch.optim.Adam(
        parameters, recipe.lr, recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )


def _adamw(parameters: Parameters, recipe: Recipe) -> Optimizer:
    """AdamW: decoupled weight decay (1711.05101)."""
    return torch.optim.AdamW(
        parameters, recipe.lr, recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )


def _muon(parameters: Parameters, recipe: Recipe) -> Optimizer:
    """Muon: far fewer steps to a given loss in narrow networks, for a tenth more time a step."""
    return Muon(parameters, recipe.lr, recipe.betas, weight_decay=recipe.weight_decay)


OPTIMISERS: dict[str, Callable[[Parameters, Recipe], Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "muon": _muon,
}


def build(parameters: Parameters, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over ``parameters``."""
    return OPTIMISERS[recipe.optimizer](parameters, recipe)


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Use ``rate`` from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("rate_scale", 1.0)


def gradient_norm(optimiser: Optimizer) -> Tensor:
    """The Euclidean norm of all gradients an optimiser is about to use."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    found = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found)))
    return norm


def named_state(optimiser: Optimizer) -> dict[str, Tensor]:
    """The optimiser's per-parameter state as ``index.key`` -> tensor."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


@torch.no_grad()
def load_state(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take over saved state.

    Moments are copied into tensors laid out as their parameter: fused kernels walk parameter and
    moments by the same addresses, whatever layout the file had. Counts of steps lie on the
    parameter's device, where the fused kernels look for them.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for name, saved in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        entry: dict[str, Any] = optimiser.state[parameter]
        same = saved.shape == parameter.shape and saved.dim() > 0
        entry[key] = (
            torch.empty_like(parameter).copy_(saved)
            if same
            else saved.to(parameter.device, copy=True)
        )
