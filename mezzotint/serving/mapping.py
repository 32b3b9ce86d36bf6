"""A run's latents as files that the page shows: ``python -m mezzotint.serving.mapping``.

The first map is there as soon as the images are encoded; slower ones follow.
"""

import base64
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.api.opening import open_images, open_model
from mezzotint.data.dataset import Images
from mezzotint.errors import MezzotintError
from mezzotint.inspection.latents import Latents, look
from mezzotint.inspection.projecting import WAYS, Map, has_umap, principal_components
from mezzotint.progress import Silent
from mezzotint.reporting.atlas import Atlas, atlas_of
from mezzotint.reporting.latents import page_data
from mezzotint.reporting.pictures import light_file, shrunk
from mezzotint.storage.files import replace_bytes, storing

MAP, ATLAS, VECTORS, NARROW = "map.json", "atlas.png", "vectors.npy", "narrow.npy"
LARGER, ENDS = "larger.bin", "larger.npy"  # pictures behind one another, and where each one ends
MOST_LARGER = 128 << 20  # bytes of them
LARGEST, LEAST = 512, 64  # pixels of their longer side
TRIED, AT_ONCE = 32, 64
NEAR = 64  # numbers of a latent that neighbours are looked for in
MOST_SLOW = {"tsne": 8000, "umap": 20_000}  # images that such a map is made of


def write(run: str, spec: str, folder: Path, points: int) -> None:
    """Encode images and write their maps into a folder.

    Raises:
        MezzotintError: the model or the images cannot be read, or the model does not encode.
    """
    family = open_model(run)
    images = open_images(spec, family.shape[1:], family.shape[0], Silent())
    print(f"encoding {min(points, len(images)):,} of {len(images):,} images", flush=True)
    write_found(look(family, images, points, Silent()), folder)


def write_found(found: Latents, folder: Path) -> None:
    """Write the thumbnails, the latents and, one after the other, the maps of images.

    Raises:
        StorageError, CannotCreateError: they cannot be written.
    """
    points = len(found.images)
    atlas = atlas_of(found.images)
    replace_bytes(folder / ATLAS, base64.b64decode(atlas.uri.partition(",")[2]))
    _save(folder / VECTORS, found.vectors)
    wide = found.vectors.shape[1] > NEAR
    narrow = principal_components(found.vectors, NEAR).points if wide else found.vectors
    _save(folder / NARROW, narrow)
    larger = save_larger(folder, found.images) if atlas.shrunk else None
    made: list[Map] = []
    for name, way in WAYS.items():
        if len(found.vectors) > MOST_SLOW.get(name, points) or (name == "umap" and not has_umap()):
            continue
        print(f"making the map {name}", flush=True)
        made.append(way(found.vectors))
        _save_map(folder / MAP, replace(found, maps=tuple(made)), atlas, larger)
    print("done", flush=True)


def larger_side(images: Images) -> int:
    """Pixels a side at which some of the images say that all have room."""
    side, count = min(LARGEST, max(images.size)), len(images)
    some = images.gather(np.linspace(0, count - 1, min(TRIED, count)).astype(int).tolist())
    while side > LEAST:
        lengths = [len(light_file(one)[1]) for one in shrunk(some, side)]
        if np.mean(lengths) * count <= MOST_LARGER:
            return side
        side //= 2
    return side


def save_larger(folder: Path, images: Images) -> int:
    """Write pictures that are larger than thumbnails, each to be shown alone; their longer side.

    Those for which there is no room are empty.
    """
    side, ends, end = larger_side(images), [], 0
    print(f"keeping {len(images):,} pictures of {side} pixels a side", flush=True)
    whole = (folder / LARGER).with_suffix(".part")
    with storing(whole), whole.open("wb") as file:
        for start in range(0, len(images), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(images)))
            for pixels in shrunk(images.gather(part), side):
                content = light_file(pixels)[1]
                end += file.write(content) if end + len(content) <= MOST_LARGER else 0
                ends.append(end)
    whole.replace(folder / LARGER)
    _save(folder / ENDS, np.array(ends), np.int64)
    return side


def _save_map(path: Path, found: Latents, atlas: Atlas, larger: int | None) -> None:
    told = {**page_data(found, atlas), "of": found.of, "width": found.vectors.shape[1]}
    told |= {"channels": found.images.channels, "larger": larger}
    replace_bytes(path, json.dumps(told, separators=(",", ":"), allow_nan=False).encode())


def _save(path: Path, rows: NDArray[Any], form: type[np.generic] = np.float32) -> None:
    whole = path.with_suffix(".part")
    with whole.open("wb") as file:
        np.save(file, np.ascontiguousarray(rows, form), allow_pickle=False)
    whole.replace(path)


def main(words: list[str]) -> int:
    """Do it; what goes wrong is said in a line."""
    run, spec, folder, points = words
    try:
        write(run, spec, Path(folder), int(points))
    except (MezzotintError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
