"""A text encoder that others trained, from a folder; it stays as it is.

A pipeline's CLIP (2103.00020), or a sentence encoder (1908.10084) whose last layer gives a vector
for each piece of a text. Only classes of a closed list are built, from JSON and safetensors.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.config import shown
from mezzotint.errors import ConfigError, DataError, MissingExtraError, MissingInputError
from mezzotint.nets.quiet import quietly
from mezzotint.storage.readers import inside
from mezzotint.storage.scanning import check_settings, check_weights, read_mapping
from mezzotint.text.tokenizer import SHORTEST, require_texts, stepped

INDEX = "model_index.json"


class Kind(NamedTuple):
    """Classes of transformers.

    Attributes:
        network: its class.
        tokenizer: the class that makes its numbers.
        masked: whether it looks past the padding, as a sentence encoder does and CLIP does not.
    """

    network: str
    tokenizer: str
    masked: bool


KINDS = {
    "clip_text_model": Kind("CLIPTextModel", "CLIPTokenizer", masked=False),
    "bert": Kind("BertModel", "BertTokenizer", masked=True),
}


class Places(NamedTuple):
    """Where a network and its words are."""

    network: Path
    words: Path


@dataclass
class Reader:
    """Texts to numbers (N, length) and on to vectors (N, length, width), which never learn.

    Attributes:
        network: of transformers.
        rules: its tokenizer.
        length: numbers a text; longer texts are cut.
        masked: see :class:`Kind`.
    """

    network: Any
    rules: Any
    length: int
    masked: bool

    @property
    def width(self) -> int:
        """Channels of a vector."""
        return int(self.network.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Numbers (N, length) of N texts."""
        shape = {"padding": "max_length", "max_length": self.length, "truncation": True}
        found = self.rules(list(texts), **shape)["input_ids"] if texts else []
        return np.array(found, np.int64).reshape(-1, self.length)

    @torch.no_grad()
    def vectors(self, tokens: Tensor) -> Tensor:
        """Vectors (N, length, width) of numbers (N, length), on their device."""
        self.network.to(tokens.device)
        mask = tokens != self.rules.pad_token_id if self.masked else None
        found: Tensor = self.network(tokens, attention_mask=mask)[0]
        return found


def open_reader(folder: str | Path, length: int, sha256: str = "") -> Reader:
    """The text encoder of a folder; nothing in it is executed.

    Args:
        folder: a Stable Diffusion pipeline, a ``CLIPTextModel``, or a sentence encoder on BERT.
        length: numbers a text.
        sha256: what :func:`weights_hash` has to be; empty: anything.

    Raises:
        MissingInputError: it is not there, or its weights are a pickle.
        ConfigError: another kind of network, or one that reads no text of this length.
        DataError: it is damaged, or another one than it was.
        RefusedError: something in it could run code, or leads out of it.
        MissingExtraError: ``transformers`` is not installed.
    """
    places = _places(Path(folder))
    kind, half = _kind(places), check_weights(places.network)
    if sha256 and weights_hash(folder) != sha256:
        what = "another text encoder than the one this model was trained with"
        raise DataError(what, str(folder), "bring the old one back to this place")
    try:
        network, rules = _opened(places, kind, half)
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
        what = f"this text encoder cannot be opened: {str(error).strip().partition(chr(10))[0]}"
        raise DataError(what, str(folder), "use another copy of it") from error
    _require_length(network, rules, length, folder)
    rules.model_max_length = length
    if kind.masked:
        network.config.use_attention_mask = True  # what a pipeline of diffusers goes by
    return Reader(network, rules, length, kind.masked)


def weights_hash(folder: str | Path) -> str:
    """SHA-256 of the weights of the text encoder of a folder.

    Raises:
        MissingInputError, RefusedError, ConfigError: as for :func:`open_reader`.
    """
    place, digest = _places(Path(folder)).network, hashlib.sha256()
    for path in sorted(place.glob("*.safetensors")):
        with inside(place, path.name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def fitting_length(folder: str | Path, texts: Sequence[str]) -> int:
    """Numbers that the longest text needs of a folder's tokenizer; as text.tokenizer has it.

    Raises:
        DataError: no text says anything.
        MezzotintError: as :func:`open_reader`.
    """
    rules = open_reader(folder, SHORTEST).rules
    return stepped(max(map(len, rules(require_texts(texts))["input_ids"])))


def _places(folder: Path) -> Places:
    if (folder / INDEX).is_file():
        return Places(folder / "text_encoder", folder / "tokenizer")
    if not (folder / "config.json").is_file():
        fix = "name a pipeline folder, or one with config.json, model.safetensors and tokenizer"
        raise MissingInputError("there is no text encoder here", str(folder), fix)
    return Places(folder, folder)


def _kind(places: Places) -> Kind:
    for place in {*places}:
        check_settings(place)
    name = read_mapping(places.network, "config.json").get("model_type")
    if name not in KINDS:
        what = f"a text encoder of the kind {shown(name)}, which is not known here"
        raise ConfigError(what, str(places.network), f"known: {', '.join(KINDS)}")
    return KINDS[name]


def _opened(places: Places, kind: Kind, half: bool) -> tuple[Any, Any]:
    import transformers

    here = {"local_files_only": True}
    weights = {"use_safetensors": True, "torch_dtype": torch.float32}
    weights |= {"variant": "fp16"} if half else {}
    build, read = (getattr(transformers, name) for name in kind[:2])
    # a model that is built to be filled makes its tensors without numbers; this one has its own
    with quietly(), torch.device("cpu"):
        network = build.from_pretrained(str(places.network), **here, **weights)
    return network.eval().requires_grad_(False), read.from_pretrained(str(places.words), **here)


def _require_length(network: Any, rules: Any, length: int, folder: str | Path) -> None:
    """Check that it reads texts of a length, and knows every number of its tokenizer."""
    most = network.config.max_position_embeddings
    if length > most:
        what = f"this text encoder reads {most} pieces at the most, not {length}"
        raise ConfigError(what, str(folder), f"give length={most}")
    if len(rules) > network.config.vocab_size:
        what = f"{len(rules):,} words for a network that knows {network.config.vocab_size:,}"
        raise DataError(what, str(folder), "use another copy of it")
