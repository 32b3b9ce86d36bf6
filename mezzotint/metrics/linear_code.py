"""The best linear code of square patches: what an autoencoder of the same size must beat."""

import numpy as np
from numpy.typing import NDArray

MOST_PATCHES = 60_000


def patch_pca_psnr(
    train: NDArray[np.uint8], held_out: NDArray[np.uint8], side: int, kept: int
) -> float:
    """PSNR in dB of held-out images whose patches are rebuilt from principal components.

    Args:
        train: (N, H, W, C), what the components are found on.
        held_out: (M, H, W, C), what is rebuilt.
        side: pixels a side of a patch; what is left over at the edges is not looked at.
        kept: components a patch.
    """
    known, asked = _patches(train, side), _patches(held_out, side)
    rows = np.random.default_rng(0).permutation(len(known))[:MOST_PATCHES]
    mean = known[rows].mean(0)
    centred = known[rows] - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    basis = vectors[:, ::-1][:, :kept]
    error = (asked - mean) - (asked - mean) @ basis @ basis.T
    return psnr_of(float(np.square(error).mean()))


def image_psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """PSNR in dB of images (N, H, W, C) beside others, of their mean squared error."""
    return psnr_of(float(np.square(first.astype(np.float64) - second).mean()))


def psnr_of(squared_error: float) -> float:
    """10 log10 of 255 squared over a mean squared error in grey levels."""
    return float(10 * np.log10(255.0**2 / max(squared_error, 1e-9)))


def _patches(images: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Rows of pixels of all patches of images (N, H, W, C)."""
    count, height, width, channels = images.shape
    down, across = height // side, width // side
    kept = images[:, : down * side, : across * side].astype(np.float64)
    squares = kept.reshape(count, down, side, across, side, channels)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side * channels)
