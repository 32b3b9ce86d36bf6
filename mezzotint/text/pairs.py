"""Learning byte-pair merges (1508.07909, algorithm 1): the same pairs for the same words, always.

Ties go to the pair that comes first in the alphabet; libraries break them by the order of a hash
table, which differs from run to run.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping

Merge = tuple[str, str]
Word = tuple[str, ...]


def learn(words: Mapping[Word, int], merges: int) -> list[Merge]:
    """The pairs that are most frequent, each counted after those before it are joined.

    Args:
        words: pieces of each word -> how often the word occurs.
        merges: pairs at the most; fewer where every word has become one piece.
    """
    spelt = [list(word) for word in words]
    often = list(words.values())
    counts: Counter[Merge] = Counter()
    places: defaultdict[Merge, set[int]] = defaultdict(set)
    for at, word in enumerate(spelt):
        for pair in itertools.pairwise(word):
            counts[pair] += often[at]
            places[pair].add(at)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    found: list[Merge] = []
    while queue and len(found) < merges:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair] or not count:  # it has changed since it was queued
            continue
        found.append(pair)
        changed = _join(pair, spelt, often, counts, places)
        for other in changed:
            heapq.heappush(queue, (-counts[other], other))
    return found


def _join(
    pair: Merge,
    spelt: list[list[str]],
    often: list[int],
    counts: Counter[Merge],
    places: defaultdict[Merge, set[int]],
) -> set[Merge]:
    """Join a pair wherever it stands; the pairs whose counts have changed."""
    changed: set[Merge] = set()
    for at in places.pop(pair):
        old, new = spelt[at], joined(spelt[at], pair)
        if len(old) == len(new):
            continue
        spelt[at] = new
        for each in itertools.pairwise(old):
            counts[each] -= often[at]
            changed.add(each)
        for each in itertools.pairwise(new):
            counts[each] += often[at]
            places[each].add(at)
            changed.add(each)
    return changed


def joined(word: list[str], pair: Merge) -> list[str]:
    """A word's pieces with each occurrence of a pair as one, from left to right."""
    made: list[str] = []
    for piece in word:
        if made and (made[-1], piece) == pair:
            made[-1] = pair[0] + pair[1]
        else:
            made.append(piece)
    return made
