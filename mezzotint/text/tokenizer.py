"""Byte-pair encoding of captions (1508.07909) in the file format and by the rules of CLIP.

``transformers.CLIPTokenizer`` opens the folder and gives the same numbers.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.errors import DataError, MissingExtraError
from mezzotint.storage.files import make_folder, replace_bytes, replace_json
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.text.pairs import Merge, learn

START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"
LENGTH = 77
SHORTEST, STEP = 8, 8
MERGES = 2000
VERSION = "#version: 0.2"
VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
CONFIG_FILE, SPECIAL_FILE = "tokenizer_config.json", "special_tokens_map.json"
WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
SPECIALS = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}


class CaptionTokenizer:
    """Texts to rows of numbers of one length: start, pieces, end, and the end again as padding.

    Any text can be written, known or not: every byte is a piece.

    Args:
        merges: pairs of pieces, the first one joined first.
        length: numbers a text; longer texts are cut.

    Raises:
        MissingExtraError: ``tokenizers`` is not installed.
        DataError: a pair joins a piece that no earlier pair has made.
    """

    def __init__(self, merges: Iterable[Merge], length: int = LENGTH) -> None:
        self.merges, self.length = tuple(merges), length
        self.vocabulary = vocabulary_of(self.merges)
        self._rules: Any = _rules(self.vocabulary, self.merges)
        self._rules.enable_truncation(length)
        self._rules.enable_padding(length=length, pad_id=self.end, pad_token=END)

    @property
    def end(self) -> int:
        """The number of the end, which is the largest."""
        return self.vocabulary[END]

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Numbers (N, length) of N texts."""
        found = [one.ids for one in self._rules.encode_batch(list(texts))]
        return np.array(found, np.int64).reshape(-1, self.length)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers: in lower case, with a space after each word and sign."""
        text: str = self._rules.decode([int(one) for one in numbers], skip_special_tokens=True)
        return text.replace(SUFFIX, " ").strip()

    def save(self, folder: Path) -> None:
        """Write the four files of a ``CLIPTokenizer``.

        Raises:
            CannotCreateError, StorageError: the folder cannot be written.
        """
        make_folder(folder)
        replace_json(folder / VOCABULARY_FILE, self.vocabulary)
        lines = [VERSION, *(" ".join(pair) for pair in self.merges), ""]
        replace_bytes(folder / MERGES_FILE, "\n".join(lines).encode())
        replace_json(folder / SPECIAL_FILE, SPECIALS)
        settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": self.length}
        settings |= {"add_prefix_space": False, "do_lower_case": True, "errors": "replace"}
        replace_json(folder / CONFIG_FILE, {**settings, **SPECIALS})

    @classmethod
    def load(cls, folder: Path) -> "CaptionTokenizer":
        """Read what :meth:`save` wrote; nothing in the folder is executed.

        Raises:
            MissingInputError, ConfigError, RefusedError: a file is missing, damaged or leads out.
            DataError: vocabulary and merges do not belong together.
        """
        vocabulary, settings = (_read(folder, name) for name in (VOCABULARY_FILE, CONFIG_FILE))
        lines = read_small(inside(folder, MERGES_FILE)).splitlines()
        pairs = [tuple(line.split(" ")) for line in lines if line and line != VERSION]
        length = settings.get("model_max_length") if isinstance(settings, dict) else None
        if any(len(pair) != 2 for pair in pairs) or not _is_length(length):
            raise _broken(folder)
        found = cls(((pair[0], pair[1]) for pair in pairs), int(length or LENGTH))
        if found.vocabulary != vocabulary:
            raise _broken(folder)
        return found


def train(
    captions: Iterable[str | None], merges: int = MERGES, length: int = 0
) -> CaptionTokenizer:
    """Learn the pairs that are most frequent in captions.

    Args:
        captions: texts; None and empty ones are passed over, each other one counts.
        merges: pairs at the most.
        length: numbers a text; 0: what the longest caption needs, 77 at the most.

    Raises:
        DataError: there is no caption.
        MissingExtraError: ``tokenizers`` is not installed.
    """
    texts = require_texts(captions)
    from_bytes = _rules(vocabulary_of(()), ())
    words = Counter(word for text in texts for word in _words(from_bytes, text))
    pairs = tuple(learn(words, merges))
    return CaptionTokenizer(pairs, length or fitting_length(pairs, texts))


def require_texts(captions: Iterable[str | None]) -> list[str]:
    """The captions that say something.

    Raises:
        DataError: there is none.
    """
    texts = [text for text in captions if text and text.strip()]
    if not texts:
        what = "there is no caption to learn words from"
        raise DataError(what, "captions", "give images with captions; see docs/data.md")
    return texts


def fitting_length(merges: Sequence[Merge], texts: Sequence[str]) -> int:
    """Numbers that the longest text needs, in steps of 8, CLIP's 77 at the most."""
    rules = _rules(vocabulary_of(merges), merges)
    return stepped(max(len(one.ids) for one in rules.encode_batch(list(texts))))


def stepped(longest: int) -> int:
    """Room for texts of at most so many pieces: in steps of 8, CLIP's 77 at the most."""
    return min(LENGTH, max(SHORTEST, -(-longest // STEP) * STEP))


def vocabulary_of(merges: Sequence[Merge]) -> dict[str, int]:
    """Every byte, every byte at the end of a word, the joined pairs, start and end, in that order.

    Raises:
        DataError: a pair joins a piece that no earlier pair has made.
    """
    letters = _letters()
    pieces = dict.fromkeys([*letters, *(letter + SUFFIX for letter in letters)])
    for first, second in merges:
        if first not in pieces or second not in pieces:
            what = f"the pair '{first} {second}' joins a piece that is not made before"
            raise DataError(what, MERGES_FILE, "use another copy of the tokenizer")
        pieces[first + second] = None
    return {piece: number for number, piece in enumerate([*pieces, START, END])}


def _letters() -> list[str]:
    """A printable letter for each of the 256 bytes, as GPT-2 chose them, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [chr(256 + at) for at in range(256 - len(plain))]
    return [*map(chr, plain), *shifted]


def _rules(vocabulary: dict[str, int], merges: Sequence[Merge]) -> Any:
    """CLIP's rules as a ``tokenizers.Tokenizer``, without cutting and padding."""
    try:
        import tokenizers
        from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
    except ImportError as error:
        raise MissingExtraError("tokenizers", "text") from error
    suffix, pairs = {"end_of_word_suffix": SUFFIX}, list(merges)
    rules: Any = tokenizers.Tokenizer(models.BPE(vocabulary, pairs, unk_token=END, **suffix))
    spaces = normalizers.Replace(tokenizers.Regex(r"\s+"), " ")
    rules.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True)
    rules.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    rules.decoder = decoders.ByteLevel()
    rules.add_special_tokens([START, END])
    ends = [(token, vocabulary[token]) for token in (END, START)]
    wrap: Any = processors.RobertaProcessing  # its type stub lacks the arguments
    rules.post_processor = wrap(*ends, False, False)
    return rules


def _words(rules: Any, text: str) -> list[tuple[str, ...]]:
    """The words of a text, each as letters, the last of which ends it."""
    parts = rules.pre_tokenizer.pre_tokenize_str(rules.normalizer.normalize_str(text))
    return [(*word[:-1], word[-1] + SUFFIX) for word, _ in parts if word]


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 3 <= value <= 4096


def _broken(folder: Path) -> DataError:
    what = "vocabulary, merges and settings are not those of one tokenizer"
    return DataError(what, str(folder), "use another copy of the tokenizer")


def _read(folder: Path, name: str) -> Any:
    path = inside(folder, name)
    return parse_json(read_small(path), path)
