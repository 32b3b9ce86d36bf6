"""What a conditional network is told besides the image: time, class, and a sequence of tokens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_WIDTH = 32


def sinusoid(time: Tensor, width: int, longest: float = 10_000.0) -> Tensor:
    """Cosines and sines of ``time`` (N,) at frequencies 1 to 1 / longest: (N, width).

    The timestep embedding of 2006.11239, after 1706.03762, section 3.5.
    """
    steps = torch.arange(width // 2, dtype=torch.float32, device=time.device)
    angles = time.float()[:, None] * torch.exp(-math.log(longest) * steps / (width // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Conditioning(nn.Module):
    """Time and class as one vector.

    Args:
        width: of the sinusoids.
        out: of the vector.
        classes: how many; 0: no labels. One more row stands for "no label" (2207.12598).

    Shapes: time (N,), label (N,) int64 with -1 for none -> (N, out).
    """

    def __init__(self, width: int, out: int, classes: int = 0) -> None:
        super().__init__()
        self.width, self.classes = width, classes
        self.time = nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))
        self.label = nn.Embedding(classes + 1, out) if classes else None

    def forward(self, time: Tensor, label: Tensor | None = None) -> Tensor:
        """The vector each block reads its scale and shift from."""
        waves = sinusoid(time, self.width).to(next(self.time.parameters()).dtype)
        made: Tensor = self.time(waves)
        if self.label is not None:
            made = made + self.label(self._rows(time, label))
        return F.silu(made)

    def _rows(self, time: Tensor, label: Tensor | None) -> Tensor:
        if label is None:
            return torch.full(time.shape, self.classes, dtype=torch.int64, device=time.device)
        return torch.where(label < 0, self.classes, label)


class Film(nn.Module):
    """GroupNorm whose scale and shift come from the condition (1709.07871; 2105.05233, sec. 3).

    Shapes: (N, width, H, W), (N, condition) -> (N, width, H, W).
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(8, width), width)
        self.affine = nn.Linear(condition, 2 * width)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """norm(x) (1 + scale) + shift."""
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = torch.addcmul(shift, self.norm(x), 1 + scale)
        return out


def head_count(width: int) -> int:
    """The largest number of equal heads at least ``HEAD_WIDTH`` wide, or one."""
    most = max(1, width // HEAD_WIDTH)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


class Attention(nn.Module):
    """x + attention from the grid to itself, or to a sequence of tokens (1706.03762).

    Args:
        width: channels of the grid.
        tokens: width of the tokens that are attended to; 0: the grid attends to itself.

    Shapes: (N, width, H, W), tokens (N, L, tokens), mask (N, L) bool, True where a token counts
    -> (N, width, H, W).
    """

    def __init__(self, width: int, tokens: int = 0) -> None:
        super().__init__()
        self.heads = head_count(width)
        self.norm = nn.GroupNorm(math.gcd(8, width), width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(tokens or width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        nn.init.normal_(self.out.weight, std=1e-3)

    def forward(
        self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The grid with what it attended to added."""
        rows = self.norm(x).flatten(2).transpose(1, 2)  # (N, H W, width)
        key, value = self.key_value(rows if tokens is None else tokens).chunk(2, dim=2)
        queries, keys, values = (self._split(part) for part in (self.query(rows), key, value))
        wanted = None if mask is None else mask[:, None, None, :]
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=wanted)
        mixed = self.out(seen.transpose(1, 2).flatten(2))  # (N, H W, width)
        out: Tensor = x + mixed.transpose(1, 2).reshape(x.shape)
        return out

    def _split(self, rows: Tensor) -> Tensor:
        count, length, width = rows.shape
        heads: Tensor = rows.view(count, length, self.heads, width // self.heads)
        return heads.transpose(1, 2).contiguous()
