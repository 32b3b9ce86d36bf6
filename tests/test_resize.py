"""Cropping, padding and resampling against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.imaging.resize import How, fit

_SIDE = st.integers(1, 40)
_HOW: st.SearchStrategy[How] = st.sampled_from(["crop", "pad", "stretch"])


def ramp(height: int, width: int) -> np.ndarray:
    """Grey levels 4 x column: linear, so that any resampling of the inside keeps it linear."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None] * 4, (height, width, 1))


@given(_SIDE, _SIDE, _SIDE, _SIDE, st.sampled_from([1, 3, 4]), _HOW)
@settings(max_examples=80, deadline=None)
def test_a_flat_picture_stays_flat(h: int, w: int, th: int, tw: int, c: int, how: How) -> None:
    flat = np.full((h, w, c), 255, np.uint8)
    found = fit(flat, (th, tw), how)
    assert found.dtype == np.uint8
    assert found.shape == (th, tw, c)
    assert found.flags.c_contiguous
    assert (found[..., :3] == 255).all()


def test_the_right_size_is_left_alone() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 4), dtype=np.uint8)
    assert fit(picture, (7, 9)) is picture
    np.testing.assert_array_equal(fit(picture[:, ::-1], (7, 9)), picture[:, ::-1])


def test_a_crop_takes_the_centre() -> None:
    wide = ramp(20, 60)
    np.testing.assert_allclose(fit(wide, (20, 20))[..., 0], wide[:, 20:40, 0], atol=1)
    halves = fit(wide, (10, 10))[:, 2:-2, 0]
    centres = 4 * (20 + 2 * np.arange(2, 8) + 0.5)
    assert np.abs(halves - centres).max() <= 1
    tall = np.ascontiguousarray(wide.swapaxes(0, 1))
    np.testing.assert_array_equal(fit(tall, (10, 10))[..., 0], fit(wide, (10, 10))[..., 0].T)


def test_an_odd_crop_is_centred_between_pixels() -> None:
    found = fit(ramp(20, 61), (20, 20))[:, 3:-3, 0]
    assert np.abs(found - 4 * (20.5 + np.arange(3, 17))).max() <= 1


def test_padding_keeps_everything_and_fills_the_margins() -> None:
    picture = np.full((10, 20, 3), 50, np.uint8)
    found = fit(picture, (20, 20), "pad", background=(1, 2, 3))
    assert (found[5:15] == 50).all()
    assert (found[:5] == (1, 2, 3)).all()
    assert (found[15:] == (1, 2, 3)).all()
    grey = fit(picture[..., :1], (20, 20), "pad", background=(100, 0, 0))
    assert set(grey[0].ravel().tolist()) == {30}  # 0.299 * 100
    clear = fit(np.full((10, 20, 4), 255, np.uint8), (20, 20), "pad")
    assert (clear[:5, :, 3] == 0).all()
    assert (clear[5:15, :, 3] == 255).all()


def test_shrinking_averages_instead_of_picking() -> None:
    board = np.indices((64, 64)).sum(0)[..., None] % 2 * 255
    found = fit(board.astype(np.uint8), (8, 8))
    assert np.abs(found[1:-1, 1:-1].astype(int) - 127.5).max() <= 4


def test_clear_pixels_lend_no_colour() -> None:
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, :8] = (0, 0, 255, 255)
    picture[:, 8:] = (255, 0, 0, 0)
    for size in ((6, 6), (40, 40)):
        found = fit(picture, size)
        seen = found[found[..., 3] > 8]
        assert seen[:, 0].max() == 0
        assert seen[:, 2].min() >= 250


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 4), (2, 2)), ((4, 4, 2), (2, 2)), ((4, 4, 3), (0, 2))]
)
def test_nonsense_is_refused(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"want uint8|below one pixel"):
        fit(np.zeros(shape, np.uint8), size)
    with pytest.raises(ValueError, match="float64"):
        fit(np.zeros((4, 4, 3)), (2, 2))
