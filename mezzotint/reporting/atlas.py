"""Thumbnails of many images in one picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.dataset import Images
from mezzotint.reporting.pictures import picture_uri, shrunk

SIDE = 4096  # pixels a side; phones decode no more
LARGEST, SMALLEST = 128, 8  # pixels a thumbnail's longer side
MOST_BYTES = 12_000_000  # of the picture in the page
AT_ONCE = 128


class Atlas(NamedTuple):
    """A picture of cells in reading order.

    Attributes:
        uri: the picture as a data URI.
        width, height: of a cell.
        columns: cells in a row.
        shrunk: whether the cells are smaller than the images.
    """

    uri: str
    width: int
    height: int
    columns: int
    shrunk: bool


def largest_side(count: int) -> int:
    """The largest square thumbnail of which ``count`` fit into the picture."""
    columns = int(np.ceil(np.sqrt(count)))
    return max(1, min(LARGEST, SIDE // columns))


def atlas_of(images: Images, most: int = MOST_BYTES) -> Atlas:
    """All images as thumbnails, halved until the picture takes at most ``most`` bytes."""
    side = largest_side(len(images))
    while True:
        sheet, width, height, columns = sheet_of(images, side)
        uri = picture_uri(sheet)
        if len(uri) * 3 / 4 <= most or side <= SMALLEST:
            return Atlas(uri, width, height, columns, width < images.size[1])
        side = max(SMALLEST, side // 2)


def sheet_of(images: Images, side: int) -> tuple[NDArray[np.uint8], int, int, int]:
    """Thumbnails in reading order without gaps: picture, width and height of a cell, columns."""
    height, width = shrunk(images.gather([0]), side).shape[1:3]
    columns = min(len(images), max(1, SIDE // width, 1))
    columns = min(columns, int(np.ceil(np.sqrt(len(images) * height / width))))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * height, columns * width, images.channels), 128, np.uint8)
    for start in range(0, len(images), AT_ONCE):
        part = range(start, min(start + AT_ONCE, len(images)))
        for place, pixels in zip(part, shrunk(images.gather(part), side), strict=True):
            top, left = place // columns * height, place % columns * width
            sheet[top : top + height, left : left + width] = pixels
    return sheet, width, height, columns
