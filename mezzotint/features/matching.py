"""Which caption belongs to which image: a small CLIP learnt from the training captions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.alpha import RGBA
from mezzotint.data.cache import cache_home
from mezzotint.data.dataset import Images
from mezzotint.features.extractor import PART, Pixels, levels, resized
from mezzotint.features.learning import Lesson, Rows, learnt
from mezzotint.nets.matching import Matcher, contrastive_loss
from mezzotint.progress import Progress
from mezzotint.storage.files import file_digest
from mezzotint.text import tokenizer
from mezzotint.text.tokenizer import CaptionTokenizer

VERSION = 1  # of the recipe below; a change of it makes another matcher
LARGEST, SHIFT = 32, 2  # pixels a side, and that an image is moved by at the most
LESSON = Lesson(
    1e-3, 0.1, epochs=20, fewest=200, most=400,
    note="learning which caption belongs to which image",
)  # fmt: skip
FORGOTTEN = 0.1  # share of the pieces of a text that are hidden


@dataclass(frozen=True)
class Pairs:
    """Images uint8 (N, H, W, C), what each shows, and the side they are looked at."""

    pixels: Pixels
    captions: Sequence[str]
    side: int

    def images(self, pixels: Pixels) -> Tensor:
        """In [-1, 1], at the size the network sees."""
        return resized(levels(pixels) / 127.5 - 1, self.side)


@dataclass(frozen=True)
class CaptionScorer:
    """A matcher with its words.

    Attributes:
        network: in evaluation mode.
        words: texts -> numbers.
        pairs: what it has learnt from.
        sha256: of its weights.
    """

    network: Matcher
    words: CaptionTokenizer
    pairs: Pairs
    sha256: str

    @torch.inference_mode()
    def similarities(self, pixels: Pixels, captions: Sequence[str]) -> NDArray[np.float32]:
        """Cosines (N, M) of uint8 (N, H, W, C) images with M captions."""
        parts = [pixels[at : at + PART] for at in range(0, len(pixels), PART)]
        images = torch.cat([self.network.images(self.pairs.images(part)) for part in parts])
        texts = self.network.texts(torch.from_numpy(self.words.encode(captions)))
        return np.asarray((images @ texts.T).numpy(), np.float32)


def open_caption_scorer(images: Images, show: Progress) -> CaptionScorer | None:
    """The scorer of a set of captioned images, from the cache or trained now.

    Args:
        images: any part of the set; its training side is learnt from, or all where there is none.
        show: where progress goes.

    Returns:
        None where no image has a caption.

    Raises:
        MissingExtraError: ``tokenizers`` is not installed.
        StorageError, CannotCreateError: the cache cannot be written.
    """
    pairs = _pairs(images)
    if pairs is None:
        return None
    words = tokenizer.train(pairs.captions)
    file = cache_home() / "features" / f"matcher-{_key(pairs)}.safetensors"
    numbers = torch.from_numpy(words.encode(pairs.captions))

    def build() -> Matcher:
        return Matcher(pairs.pixels.shape[3], words.end + 1, words.length)

    def loss(network: Matcher, rows: Rows) -> Tensor:
        return _loss(network, pairs, rows, numbers[rows])

    network = learnt(file, build, loss, len(numbers), LESSON, show)
    return CaptionScorer(network, words, pairs, file_digest(file))


def _pairs(images: Images) -> Pairs | None:
    rows = images.train_rows if len(images.train_rows) else images.rows
    if images.captions is None:
        return None
    told = [row for row in rows.tolist() if (images.captions[row] or "").strip()]
    if not told:
        return None
    captions = [str(images.captions[row]).strip() for row in told]
    return Pairs(np.asarray(images.pixels)[told], captions, min(LARGEST, max(images.size)))


def _key(pairs: Pairs) -> str:
    """A digest of everything the network depends on."""
    digest = hashlib.sha256(f"{VERSION} {pairs.pixels.shape} {pairs.side}".encode())
    digest.update(b"weighed" if pairs.pixels.shape[3] == RGBA else b"")
    digest.update(pairs.pixels.tobytes())
    digest.update("\0".join(pairs.captions).encode())
    return digest.hexdigest()[:32]


def _loss(network: Matcher, pairs: Pairs, rows: Rows, numbers: Tensor) -> Tensor:
    same = (numbers[:, None] == numbers[None]).all(2)
    images = network.images(_moved(pairs.images(pairs.pixels[rows])))
    texts = network.texts(_forgetful(numbers, network.end))
    return contrastive_loss(images, texts, network.scale, same)


def _moved(images: Tensor) -> Tensor:
    """All images moved by the same few pixels; what comes in is the edge again."""
    down, right = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    height, width = images.shape[2:]
    padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
    return padded[:, :, down : down + height, right : right + width]


def _forgetful(numbers: Tensor, end: int) -> Tensor:
    """Some pieces replaced by the start, which tells nothing; ends stay."""
    hidden = (torch.rand(numbers.shape) < FORGOTTEN) & (numbers != end)
    return torch.where(hidden, end - 1, numbers)
