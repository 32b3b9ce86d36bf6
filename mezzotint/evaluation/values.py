"""Measured numbers with what they need to be believed: interval, n, extractor, floor."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from mezzotint.metrics.intervals import Estimate, bootstrap_mean


@dataclass(frozen=True)
class Value:
    """A measured number.

    Attributes:
        value: the number.
        low, high: its 95% interval; both None where none is defined.
        n: images it was measured on.
        unit: what it counts.
        note: how it was measured, if that changes its meaning.
        features: name and hash of the extractor; empty where none took part.
        resize: what was done to the images before the extractor saw them.
        floor: the same number for real images instead of samples, at the same n; None where there
            is none. A model cannot be told from the real thing by a number that reaches it.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    note: str = ""
    features: str = ""
    resize: str = ""
    floor: float | None = None


@dataclass(frozen=True)
class Evaluation(Mapping[str, Value]):
    """Name -> value, why some are missing, and what is wrong in words.

    Attributes:
        measured: the values.
        left_out: names -> the reason why they were not.
        remarks: names -> a sentence about a value that is surely a fault.
    """

    measured: Mapping[str, Value] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Value:
        return self.measured[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.measured)

    def __len__(self) -> int:
        return len(self.measured)

    def joined(self, other: "Evaluation") -> "Evaluation":
        """Both together."""
        return Evaluation(
            {**self.measured, **other.measured},
            {**self.left_out, **other.left_out},
            {**self.remarks, **other.remarks},
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: each value's fields by name, ``left_out`` and ``remarks``."""
        told: dict[str, Any] = {name: asdict(value) for name, value in self.items()}
        return {**told, "left_out": dict(self.left_out), "remarks": dict(self.remarks)}


def mean_value(values: Tensor, unit: str, note: str = "") -> Value:
    """The mean of per-image numbers (n,) with its bootstrap interval."""
    numbers = values.double().numpy()
    low, high = bootstrap_mean(numbers)
    return Value(float(numbers.mean()), low, high, len(numbers), unit, note)


def estimated(found: Estimate, n: int, unit: str, note: str = "") -> Value:
    """A metric's estimate as a value."""
    return Value(found.value, found.low, found.high, n, unit, note)
