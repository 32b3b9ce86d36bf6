"""The pixel contract: uint8 NHWC on disk, float32 NCHW in [-1, 1] in memory; and pictures to files.

Reading files is :mod:`mezzotint.imaging.decode`.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from mezzotint.alpha import RGBA
from mezzotint.errors import CannotCreateError, DataError, MissingInputError
from mezzotint.imaging.decode import Unreadable, decode, fit
from mezzotint.imaging.grids import grid, headed, rows_grid
from mezzotint.imaging.provenance import read_provenance, text_chunks
from mezzotint.storage.files import make_folder, replace_bytes

if TYPE_CHECKING:
    import torch

__all__ = [
    "grid",
    "headed",
    "png_bytes",
    "read_image",
    "read_provenance",
    "rows_grid",
    "save_image",
    "save_images",
    "to_float",
    "to_uint8",
]

Labels = Sequence[str | int | None]
_OTHER_FORMATS = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
_LISTED = 1024  # seeds and labels a grid's record lists one by one
_SMALL = 1 << 14  # pixels of a picture that is compressed as far as zlib goes by itself
_LEVEL, _FAST = 6, 1  # of zlib; photographs take 4.5 times as long at 6 and come out 13% smaller


def read_image(path: str | Path, size: tuple[int, int], channels: int) -> np.ndarray:
    """One picture file, upright and in sRGB, as uint8 (H, W, C), cropped to ``size``.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is not a picture that can be read.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingInputError("there is no picture here", str(file), "name a PNG or JPEG file")
    try:
        return fit(decode(file.read_bytes(), file.name, channels, at_least=size), size)  # type: ignore[arg-type]
    except (Unreadable, OSError) as error:
        raise DataError(f"this picture cannot be read: {error}", str(file)) from error


def to_float(pixels: np.ndarray) -> "torch.Tensor":
    """uint8 NHWC (or HWC) to float32 NCHW (or CHW): v / 127.5 - 1, on the CPU.

    Raises:
        ValueError: not uint8, or not 3 or 4 axes.
    """
    import torch

    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise ValueError(f"want uint8 NHWC or HWC, got {pixels.dtype} {pixels.shape}")
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3)).copy())
    return planes.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: "torch.Tensor") -> np.ndarray:
    """Float NCHW (or CHW) to uint8 NHWC (or HWC): (clamp(x, -1, 1) + 1) * 127.5, half to even.

    The exact inverse of :func:`to_float` on all 256 levels.

    Raises:
        ValueError: not a float tensor of 3 or 4 axes, or a value is not finite.
    """
    import torch

    if not images.is_floating_point() or images.ndim not in (3, 4):
        raise ValueError(f"want float NCHW or CHW, got {images.dtype} {tuple(images.shape)}")
    values = images.detach().to(torch.float32)
    if not torch.isfinite(values).all():
        raise ValueError("the images hold values that are not finite")
    levels = values.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(levels.cpu().numpy(), -3, -1))


def save_image(
    path: str | Path, pixels: np.ndarray, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write one picture as PNG, whole or not at all.

    Args:
        path: ends in ``.png``; missing folders are made.
        pixels: uint8 HWC with 1, 3 or 4 channels.
        metadata: how it was made (``model``, ``seed``, ``steps``, ``prompt``, ...), stored in the
            file; None stores nothing. ``schema`` and ``size`` (WIDTHxHEIGHT) are added.

    Raises:
        CannotCreateError: another suffix, or no file can be made there.
        StorageError: writing failed.
        ValueError: the array is no picture, or the metadata has no JSON form.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise CannotCreateError("pictures are written as PNG", str(path), "name it .png")
    content = png_bytes(pixels, metadata)
    return _write(target, lambda file: file.write(content))


def png_bytes(pixels: np.ndarray, metadata: Mapping[str, Any] | None = None) -> bytes:
    """The file that :func:`save_image` writes; arguments and errors as there."""
    picture = _picture(pixels)
    size = {"size": f"{picture.width}x{picture.height}"}
    record = None if metadata is None else text_chunks({**size, **metadata})
    buffer = io.BytesIO()
    level = _LEVEL if picture.width * picture.height <= _SMALL else _FAST
    picture.save(buffer, "PNG", pnginfo=record, compress_level=level)
    return buffer.getvalue()


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> Path:
    """Fill a file in memory, then put it in place as one step, with the folders it needs."""
    buffer = io.BytesIO()
    fill(buffer)
    make_folder(path.parent)
    replace_bytes(path, buffer.getvalue())
    return path


def _picture(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"want uint8 HWC, 1, 3 or 4 channels; got {pixels.dtype} {pixels.shape}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def save_images(
    out: str | Path,
    pixels: np.ndarray,
    seeds: Sequence[int],
    labels: Labels | None = None,
    metadata: Mapping[str, Any] | None = None,
    prompts: Sequence[str] | None = None,
) -> list[Path]:
    """Write pictures where and how the name ``out`` says.

    Args:
        out: ``.png`` one sheet of all (a single RGBA picture as it is); ``.npz`` the arrays
            ``images`` (uint8 NHWC), ``seeds`` and ``labels`` (text, or int64 with -1 where there
            is none); otherwise a folder with ``000000.png`` and so on.
        pixels: uint8 NHWC, N at least 1.
        seeds: one a picture.
        labels: one a picture, or None.
        metadata: as for :func:`save_image`; each file's record also says its seed, label and
            prompt.
        prompts: the text each picture was made for, or None; an ``.npz`` then has ``prompts``.

    Returns:
        The paths written.

    Raises:
        CannotCreateError, StorageError: as :func:`save_image`.
        ValueError: the lengths differ.
    """
    known: Labels = [None] * len(pixels) if labels is None else labels
    if not len(pixels) == len(seeds) == len(known) or not len(pixels):
        raise ValueError(f"{len(pixels)} pictures, {len(seeds)} seeds, {len(known)} labels")
    if prompts is not None and len(prompts) != len(pixels):
        raise ValueError(f"{len(pixels)} pictures, {len(prompts)} prompts")
    target = Path(out)
    if target.suffix.lower() in _OTHER_FORMATS:
        raise CannotCreateError("pictures are written as PNG", str(target), "name it .png")
    write = {".png": _save_sheet, ".npz": _save_arrays}.get(target.suffix.lower(), _save_folder)
    facts = _Facts([int(seed) for seed in seeds], known, prompts, metadata)
    return write(target, pixels, facts)


class _Facts(NamedTuple):
    """What is known of each picture, and what is known of all."""

    seeds: list[int]
    labels: Labels
    prompts: Sequence[str] | None
    metadata: Mapping[str, Any] | None

    def of(self, index: int) -> dict[str, Any] | None:
        """The record of one picture."""
        if self.metadata is None:
            return None
        own = {"seed": self.seeds[index], "index": index, "label": self.labels[index]}
        own |= {"prompt": self.prompts[index]} if self.prompts else {}
        return {**self.metadata, **own}

    def of_all(self) -> dict[str, Any] | None:
        """The record of a sheet of all pictures."""
        if self.metadata is None:
            return None
        shown = slice(0, _LISTED)
        record = {**self.metadata, "count": len(self.seeds), "seeds": self.seeds[shown]}
        record["labels"] = None if set(self.labels) == {None} else list(self.labels)[shown]
        various = self.prompts is not None and len(set(self.prompts)) > 1
        return record | ({"prompts": list(self.prompts or ())[shown]} if various else {})


def _save_sheet(path: Path, pixels: np.ndarray, facts: _Facts) -> list[Path]:
    sheet = pixels[0] if len(pixels) == 1 and pixels.shape[3] == RGBA else grid(pixels)
    return [save_image(path, sheet, facts.of_all())]


def _save_folder(folder: Path, pixels: np.ndarray, facts: _Facts) -> list[Path]:
    return [
        save_image(folder / f"{index:06d}.png", picture, facts.of(index))
        for index, picture in enumerate(pixels)
    ]


def _save_arrays(path: Path, pixels: np.ndarray, facts: _Facts) -> list[Path]:
    kind = np.uint64 if max(facts.seeds) > np.iinfo(np.int64).max else np.int64
    numbers, names = np.array(facts.seeds, dtype=kind), _label_array(facts.labels)
    told: Any = {"prompts": np.array(facts.prompts, dtype=np.str_)} if facts.prompts else {}

    def fill(file: IO[bytes]) -> None:
        np.savez_compressed(file, images=pixels, seeds=numbers, labels=names, **told)

    return [_write(path, fill)]


def _label_array(labels: Labels) -> np.ndarray:
    if any(isinstance(label, str) for label in labels):
        return np.array(["" if label is None else str(label) for label in labels], dtype=np.str_)
    return np.array([-1 if label is None else int(label) for label in labels], dtype=np.int64)
