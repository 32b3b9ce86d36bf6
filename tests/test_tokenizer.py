"""The tokenizer of captions: the numbers of ``transformers.CLIPTokenizer``, and nothing unknown."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.data.scenes import scene
from mezzotint.errors import DataError, MezzotintError
from mezzotint.text.pairs import learn

pytest.importorskip("tokenizers", reason="extra 'text'")

import itertools

from mezzotint.text.tokenizer import (
    END,
    MERGES_FILE,
    START,
    VOCABULARY_FILE,
    CaptionTokenizer,
    train,
    vocabulary_of,
)

CAPTIONS = [scene(index).caption for index in range(500)]
HARD = [
    "",
    "   ",
    "A Red  CIRCLE\tabove\na blue square!",
    "zyzzyva quokkas 1234 don't we'll",
    "Ein grüner Kreis über dem Straßenschild, s'il vous plaît",
    "红色的圆 と 青い四角 🟥🔵👩‍👩‍👧",
    "e\u0301 is one letter",
    f"{START} inside {END} a text",
    "word " * 500,
    "\x00\x07 control \ufeff marks",
]


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return train(CAPTIONS, merges=200)


def test_every_caption_comes_back(tokenizer: CaptionTokenizer) -> None:
    rows = tokenizer.encode(CAPTIONS)
    assert rows.shape == (500, tokenizer.length)
    spaced = [caption.replace(",", " ,") for caption in CAPTIONS]  # a space after each sign
    assert [tokenizer.decode(row) for row in rows] == spaced


def test_a_row_is_start_pieces_end_and_padding(tokenizer: CaptionTokenizer) -> None:
    start, end = tokenizer.vocabulary[START], tokenizer.end
    for row in tokenizer.encode([*CAPTIONS[:20], *HARD[:7], *HARD[8:]]):
        inner = row[1 : list(row).index(end)]
        assert row[0] == start
        assert end not in inner
        assert set(row[1 + len(inner) :]) == {end}


def test_common_words_are_one_piece(tokenizer: CaptionTokenizer) -> None:
    """200 pairs hold the few words of the shapes whole."""
    row = tokenizer.encode(["a red circle"])[0]
    assert list(row).index(tokenizer.end) == 4


def test_the_length_is_what_the_longest_caption_needs(tokenizer: CaptionTokenizer) -> None:
    roomy = CaptionTokenizer(tokenizer.merges, 77).encode(CAPTIONS)
    longest = max(list(row).index(tokenizer.end) + 1 for row in roomy)
    assert tokenizer.length % 8 == 0
    assert longest <= tokenizer.length < longest + 8
    assert train(["word " * 500]).length == 77
    assert train(CAPTIONS, 200, length=20).length == 20


def test_unknown_letters_are_bytes(tokenizer: CaptionTokenizer) -> None:
    wide = CaptionTokenizer(tokenizer.merges, 77)
    for text in ("红色的圆", "🟥🔵", "straßenschild", "zyzzyva"):
        assert wide.decode(wide.encode([text])[0]) == text


def test_training_is_repeatable_and_passes_over_nothing() -> None:
    holes = [None, "", *CAPTIONS, "  ", None]
    assert train(holes, 100).merges == train(CAPTIONS, 100).merges
    assert len(train(CAPTIONS, 40).merges) == 40


def test_without_captions_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="no caption"):
        train([None, "", " "])


def test_it_survives_its_files(tokenizer: CaptionTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = CaptionTokenizer.load(tmp_path)
    assert again.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(again.encode(HARD), tokenizer.encode(HARD))


def test_files_that_do_not_belong_together_are_told(
    tokenizer: CaptionTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    merges = (tmp_path / MERGES_FILE).read_text()
    for damage in (merges + "zzz qqq\n", merges + "one\n", merges + "x y\n"):
        (tmp_path / MERGES_FILE).write_text(damage)
        with pytest.raises(DataError):
            CaptionTokenizer.load(tmp_path)
    (tmp_path / MERGES_FILE).write_text(merges)
    (tmp_path / VOCABULARY_FILE).write_text(json.dumps({"a": 0}))
    with pytest.raises(DataError, match="tokenizer"):
        CaptionTokenizer.load(tmp_path)
    (tmp_path / VOCABULARY_FILE).unlink()
    with pytest.raises(MezzotintError):
        CaptionTokenizer.load(tmp_path)


def test_the_vocabulary_is_laid_out_as_clips() -> None:
    """Bytes in GPT-2's order from '!', the same at a word's end, pairs, start, end."""
    found = vocabulary_of([("a", "b</w>")])
    assert [found[piece] for piece in ("!", "a", "!</w>", "ab</w>", START, END)] == [
        *(0, 64, 256, 512, 513, 514)
    ]


def test_transformers_gives_the_same_numbers(tokenizer: CaptionTokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="extra 'text'")
    tokenizer.save(tmp_path)
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    assert theirs.model_max_length == tokenizer.length
    assert theirs.pad_token_id == theirs.eos_token_id == tokenizer.end
    rows = theirs(
        CAPTIONS + HARD, padding="max_length", max_length=theirs.model_max_length, truncation=True
    )
    np.testing.assert_array_equal(rows["input_ids"], tokenizer.encode(CAPTIONS + HARD))


def plain_pairs(words: dict[tuple[str, ...], int], merges: int) -> list[tuple[str, str]]:
    """Algorithm 1 of 1508.07909, counting everything anew before each pair."""
    spelt = [(list(word), count) for word, count in words.items()]
    found = []
    for _ in range(merges):
        counts: dict[tuple[str, str], int] = {}
        for word, count in spelt:
            for pair in itertools.pairwise(word):
                counts[pair] = counts.get(pair, 0) + count
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        found.append(best)
        for word, _ in spelt:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = ["".join(best)]
                at += 1
    return found


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=9).map(tuple), st.integers(1, 9)),
    st.integers(1, 30),
)
def test_pairs_are_those_of_the_plain_algorithm(
    words: dict[tuple[str, ...], int], merges: int
) -> None:
    assert learn(words, merges) == plain_pairs(words, merges)


def test_pairs_do_not_depend_on_the_order_of_captions() -> None:
    assert train(CAPTIONS[::-1]).merges == train(CAPTIONS).merges
