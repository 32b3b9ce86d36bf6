"""The data set doctor: what is wrong with a source of images, before any time goes into training.

Every image is decoded once, a few at a time, and leaves little more than a kilobyte behind.
"""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mezzotint.data.doctor_finders import Facts
from mezzotint.data.doctor_report import Captions, Checkup, Extent, Sizes
from mezzotint.data.doctor_rules import find_problems
from mezzotint.data.entry import Entry, Skip, Source
from mezzotint.data.exam import Exam, examine, full_digest
from mezzotint.data.form import natural_size
from mezzotint.data.hashes import RESIDUAL, Prints, groups, join, prints
from mezzotint.data.survey import Look, summarise

Progress = Callable[[int, int], None]
Outcome = tuple[Exam, np.ndarray] | Skip
Value = TypeVar("Value")

_BATCH = 512  # pictures fingerprinted at a time
_LEAST_SPREAD = 2.0  # levels of contrast without which a picture has nothing to recognise
_LEAST_SIDE = 8  # pixels, likewise
_COMMON_SIZES = 10


def check(
    source: Source,
    progress: Progress | None = None,
    near: float = RESIDUAL,
    strict: bool = False,
) -> Checkup:
    """Read every image of a source and report what is wrong with it.

    Args:
        source: where the images come from.
        progress: called with images done and their total.
        near: share of the contrast in which near duplicates may differ, 0 to 1; 0 leaves the
            search out.
        strict: make every warning an error.
    """
    exams, found, skips = _examine_all(source, progress)
    exact = _exact_groups(source, exams)
    similar = _near_groups(exams, found, exact, near) if near > 0 else []
    facts = Facts(exams, (*source.skipped, *skips), exact, similar)
    checkup = _summary(source.spec, facts)
    if not strict:
        return checkup
    hard = (
        replace(p, severity="error") if p.severity == "warning" else p for p in checkup.problems
    )
    return replace(checkup, problems=tuple(hard))


def _examine_all(
    source: Source, progress: Progress | None
) -> tuple[list[Exam], Prints, list[Skip]]:
    exams, skips, smalls = [], [], []
    parts = [prints(np.empty((0, 32, 32, 3), np.uint8))]
    for done, outcome in enumerate(_outcomes(source), start=1):
        if isinstance(outcome, Skip):
            skips.append(outcome)
        else:
            exams.append(outcome[0])
            smalls.append(outcome[1])
        if len(smalls) == _BATCH:
            parts.append(prints(np.stack(smalls)))
            smalls.clear()
        if progress is not None:
            progress(done, len(source.entries))
    if smalls:
        parts.append(prints(np.stack(smalls)))
    return exams, join(parts), skips


def _outcomes(source: Source) -> Iterator[Outcome]:
    """Verdicts in the order of the entries; reading stays in one thread, decoding does not."""
    workers = min(os.cpu_count() or 1, 16)
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for index, entry in enumerate(source.entries):
            waiting.append(pool.submit(_verdict, entry, _content(source, index)))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _content(source: Source, index: int) -> bytes | np.ndarray | OSError:
    try:
        return source.read(index)
    except OSError as error:
        return error


def _verdict(entry: Entry, content: bytes | np.ndarray | OSError) -> Outcome:
    if isinstance(content, OSError):
        return Skip(entry.name, "unreadable", content.strerror or str(content))
    return examine(entry, content)


def _grouped(keys: Iterable[tuple[Hashable, Value]]) -> list[list[Value]]:
    """Values under one key together, where there are two or more."""
    buckets: defaultdict[Hashable, list[Value]] = defaultdict(list)
    for key, value in keys:
        buckets[key].append(value)
    return [bucket for bucket in buckets.values() if len(bucket) > 1]


def _exact_groups(source: Source, exams: Sequence[Exam]) -> list[list[int]]:
    """Positions in ``exams`` with equal pixels; those decoded small are looked at in full."""
    where = {entry.name: index for index, entry in enumerate(source.entries)}
    equal = _grouped((exam.digest, at) for at, exam in enumerate(exams))
    settled = [group for group in equal if not exams[group[0]].reduced]
    for group in equal:
        if exams[group[0]].reduced:
            names = [exams[at].entry.name for at in group]
            digests = [_full(source, where[name]) for name in names]
            settled += _grouped(zip(digests, group))
    return settled


def _full(source: Source, index: int) -> bytes:
    content = _content(source, index)
    name = source.entries[index].name
    return full_digest(name, content) if isinstance(content, bytes) else name.encode()


def _near_groups(
    exams: Sequence[Exam], found: Prints, exact: Sequence[Sequence[int]], near: float
) -> list[list[int]]:
    """Positions of pictures that look the same, with all exact copies of each."""
    copies = {group[0]: group for group in exact}
    extra = {at for group in exact for at in group[1:]}
    clear = found.spread >= _LEAST_SPREAD
    firsts = [
        at
        for at, exam in enumerate(exams)
        if clear[at] and at not in extra and min(exam.size) >= _LEAST_SIDE
    ]
    sets = groups(found[np.array(firsts, dtype=np.int64)], near)
    return [[copy for k in part for copy in copies.get(firsts[k], [firsts[k]])] for part in sets]


def _summary(spec: str, facts: Facts) -> Checkup:
    exams = facts.exams
    infos = [exam.info for exam in exams]
    return Checkup(
        spec=spec,
        total=len(exams) + len(facts.skips),
        usable=len(exams),
        unreadable=facts.skips,
        formats=_counts(info.format for info in infos),
        modes=_counts(info.mode for info in infos),
        bits=_counts(str(info.bits) for info in infos),
        sizes=_sizes([exam.size for exam in exams]),
        grey=sum(exam.grey for exam in exams),
        transparent=sum(exam.transparent for exam in exams),
        animated=sum(info.frames > 1 for info in infos),
        constant=sum(exam.flat for exam in exams),
        splits=_counts(exam.entry.split for exam in exams if exam.entry.split),
        classes=facts.classes,
        captions=_captions([exam.entry.caption for exam in exams]),
        duplicates=facts.names(facts.exact),
        near_duplicates=facts.names(facts.distinct),
        suggested_size=_suggested_size(exams),
        suggested_channels=1 if all(exam.grey for exam in exams) else 3,
        problems=find_problems(facts),
    )


def _suggested_size(exams: Sequence[Exam]) -> tuple[int, int] | None:
    looks = [Look("", exam.size, exam.info.grey, exam.transparent) for exam in exams]
    return natural_size(summarise([exam.entry for exam in exams], looks, ())) if exams else None


def _counts(words: Iterable[str]) -> dict[str, int]:
    """How often each word occurs, most frequent first, then in the order of the words."""
    return dict(sorted(Counter(words).items(), key=lambda item: (-item[1], item[0])))


def _sizes(sizes: Sequence[tuple[int, int]]) -> Sizes:
    common = _counts(f"{width}x{height}" for height, width in sizes)
    return Sizes(
        width=_extent([width for _, width in sizes]),
        height=_extent([height for height, _ in sizes]),
        short=_extent([min(size) for size in sizes]),
        common=dict(list(common.items())[:_COMMON_SIZES]),
        distinct=len(common),
    )


def _extent(lengths: Sequence[int]) -> Extent:
    ordered = sorted(lengths)
    return Extent(ordered[0], _median(ordered), ordered[-1]) if ordered else Extent()


def _median(ordered: Sequence[int]) -> int:
    return ordered[(len(ordered) - 1) // 2] if ordered else 0


def _captions(captions: Sequence[str | None]) -> Captions:
    texts = [text.strip() for text in captions if text is not None and text.strip()]
    often = Counter(texts)
    missing = sum(text is None for text in captions)
    return Captions(
        count=len(texts),
        missing=missing,
        empty=len(captions) - missing - len(texts),
        repeated=sum(n for n in often.values() if n > 1) / len(texts) if texts else 0.0,
        median_length=_median(sorted(map(len, texts))),
    )
