"""What most training scripts do for every image, every epoch: open, convert, resize, to tensor.

The steps are those of diffusers' examples/unconditional_image_generation/train_unconditional.py
(Resize, CenterCrop, ToTensor, Normalize), written with Pillow and torch, without torchvision.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Files(Dataset[Tensor]):
    """Image files as float tensors (C, size, size) in [0, 1], or in [-1, 1] if ``normalise``."""

    def __init__(self, folder: Path, mode: str, size: int, normalise: bool) -> None:
        self.paths = sorted(folder.rglob("*.png"))
        self.mode, self.size, self.normalise = mode, (size, size), normalise

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Tensor:
        with Image.open(self.paths[at]) as file:
            image = file.convert(self.mode)
        if image.size != self.size:
            image = image.resize(self.size, Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).view(*self.size, -1).permute(2, 0, 1)
        tensor = pixels.contiguous().to(torch.float32).div(255)
        return tensor.sub(0.5).div(0.5) if self.normalise else tensor


def pil_loader(
    folder: Path, mode: str, size: int, batch: int, workers: int, normalise: bool = True
) -> DataLoader[Tensor]:
    """A shuffling loader over a folder of PNG files, default settings but for the workers."""
    files = Files(folder, mode, size, normalise)
    return DataLoader(files, batch_size=batch, shuffle=True, num_workers=workers)
