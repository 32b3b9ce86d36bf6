"""What changes where there are few images: they are shifted a little, and a copyist is named."""

FEW = 1000
MOST_EPOCHS = 200  # over few images; a generative model then begins to know them by heart
JITTER = 1 / 16


def default_jitter(images: int) -> float:
    """Largest random shift, as a share of a side, that suits a number of training images."""
    return JITTER if images < FEW else 0.0


def copying(images: int, seen: float) -> str:
    """A warning that a generative model will copy its training images, or nothing.

    Args:
        images: in the training set.
        seen: images the whole run will see.
    """
    epochs = seen / max(images, 1)
    if images >= FEW or epochs <= MOST_EPOCHS:
        return ""
    enough = images * MOST_EPOCHS
    return (
        f"warning: {epochs:,.0f} times over {images:,} images is enough to copy them; compare the "
        f"samples with them before you show any. To do: add images, stop at --images {enough}, or "
        "set flip=true where a mirrored image is as good"
    )
