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

from mezzotint.api.opening import open_images, open_model
from mezzotint.errors import MezzotintError
from mezzotint.inspection.latents import Latents, look
from mezzotint.inspection.projecting import WAYS, Map, has_umap, principal_components
from mezzotint.progress import Silent
from mezzotint.reporting.atlas import Atlas, atlas_of
from mezzotint.reporting.latents import page_data
from mezzotint.storage.files import replace_bytes

MAP, ATLAS, VECTORS, NARROW = "map.json", "atlas.png", "vectors.npy", "narrow.npy"
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
    made: list[Map] = []
    for name, way in WAYS.items():
        if len(found.vectors) > MOST_SLOW.get(name, points) or (name == "umap" and not has_umap()):
            continue
        print(f"making the map {name}", flush=True)
        made.append(way(found.vectors))
        _save_map(folder / MAP, replace(found, maps=tuple(made)), atlas)
    print("done", flush=True)


def _save_map(path: Path, found: Latents, atlas: Atlas) -> None:
    told = {**page_data(found, atlas), "of": found.of, "width": found.vectors.shape[1]}
    told["channels"] = found.images.channels
    replace_bytes(path, json.dumps(told, separators=(",", ":"), allow_nan=False).encode())


def _save(path: Path, rows: Any) -> None:
    whole = path.with_suffix(".part")
    with whole.open("wb") as file:
        np.save(file, np.ascontiguousarray(rows, np.float32), allow_pickle=False)
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
