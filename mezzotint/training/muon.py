"""Muon: momentum whose matrices are orthogonalised before they are applied (Jordan et al. 2024)."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adam import adam

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
REST_RATE = 0.3


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace the singular values of matrices by about 1 (Newton-Schulz, Jordan et al. 2024).

    Every iterate is a polynomial of the Gram matrix times the input, so only the polynomial is
    iterated: the products of an m x n matrix fall from two a step to two in all.

    Args:
        matrices: (k, m, n).
        steps: iterations; five bring the singular values into [0.7, 1.2].
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    gram = x @ x.mT
    scale = 1 / (gram.diagonal(dim1=1, dim2=2).sum(1).sqrt() + 1e-7)[:, None, None]
    gram = gram * scale.square()
    whole: Tensor | None = None
    for step in range(steps):
        part = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        part.diagonal(dim1=1, dim2=2).add_(a)
        whole = part if whole is None else part @ whole
        if step + 1 < steps:
            gram = part @ gram @ part
    x = x if whole is None else (whole * scale) @ x
    return x.mT if tall else x


def as_matrix(tensor: Tensor) -> Tensor:
    """A weight as (rows, all else); kernels in channels-last order, which is a view of theirs."""
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(tensor.shape[0], -1)


def like_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """Undo :func:`as_matrix` for the shape of ``weight``."""
    if weight.dim() != 4:
        return matrix.view(weight.shape)
    rows, inner, height, width = weight.shape
    return matrix.view(rows, height, width, inner).permute(0, 3, 1, 2)


def is_matrix(parameter: Tensor) -> bool:
    """Whether orthogonalising makes sense: not for vectors, nor kernels with one channel."""
    return parameter.dim() >= 2 and min(parameter.shape[:2]) > 1


class Muon(Optimizer):
    """Muon for matrices and kernels, Adam at 0.3 of the rate for all else.

    Updates are scaled by 0.2 sqrt(max(m, n)), so that their size is that of Adam's
    (2502.16982, section 2.2).

    Args:
        parameters: what is optimised.
        lr: rate of the matrices.
        betas: of Adam.
        momentum: of the matrices, Nesterov's form.
        weight_decay: decoupled, of the matrices.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        every = list(parameters)
        kinds = {True: 1.0, False: REST_RATE}
        groups = [
            {"params": [p for p in every if is_matrix(p) == kind], "rate_scale": scale}
            for kind, scale in kinds.items()
        ]
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            present = [p for p in group["params"] if p.grad is not None]
            (self._step_matrices if group["rate_scale"] == 1.0 else self._step_rest)(group, present)

    def _step_matrices(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Matrices of one shape are orthogonalised together: many small products are slow apart."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        averages = [self._momentum(p) for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        wanted = torch._foreach_lerp(gradients, averages, group["momentum"])
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for shape, rows in _by_shape(wanted).items():
            made = orthogonalise(torch.stack([as_matrix(wanted[row]) for row in rows]))
            rate = -group["lr"] * 0.2 * math.sqrt(max(shape))
            for row, direction in zip(rows, made, strict=True):
                parameters[row].add_(like_weight(direction, parameters[row]), alpha=rate)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum"]
        return average

    def _step_rest(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state["step"] = torch.zeros((), device=parameter.device)  # where the kernel is
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        adam(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=first,
            beta2=second,
            lr=group["lr"],
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def _by_shape(tensors: Sequence[Tensor]) -> dict[tuple[int, int], list[int]]:
    """Positions of the tensors by their shape as matrices."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, tensor in enumerate(tensors):
        rows = tensor.shape[0]
        places.setdefault((rows, tensor.numel() // rows), []).append(place)
    return places
