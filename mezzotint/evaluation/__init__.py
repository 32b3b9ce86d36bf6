"""Numbers about a model by its capabilities: the table below has them all."""

from collections.abc import Callable

from mezzotint.evaluation.agreement import agreement_values
from mezzotint.evaluation.costs import cost_values
from mezzotint.evaluation.detail import NAMES, made_detail, rebuilt_detail
from mezzotint.evaluation.likeness import bound_values, denoising_values, reconstruction_values
from mezzotint.evaluation.retrieval import retrieval_values
from mezzotint.evaluation.sets import ALL, perceptual_values, rebuilt_values, sample_values
from mezzotint.evaluation.subject import Subject
from mezzotint.evaluation.values import Evaluation, Value
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Bounds, Denoises, Prompts, Reconstructs, Samples

Measure = Callable[[Subject], Evaluation]
MEASURES: tuple[tuple[type, Measure], ...] = (
    (
        Reconstructs,
        lambda subject: Evaluation(reconstruction_values(subject.family, subject.pixels)),
    ),
    (Reconstructs, perceptual_values),
    (Reconstructs, rebuilt_values),
    (Reconstructs, rebuilt_detail),
    (
        Bounds,
        lambda subject: Evaluation(bound_values(subject.family, subject.pixels, subject.draws)),
    ),
    (Denoises, lambda subject: Evaluation(denoising_values(subject.family, subject.pixels))),
    (Samples, sample_values),
    (Samples, made_detail),
    (Prompts, agreement_values),
    (Prompts, retrieval_values),
    (Family, cost_values),
)

__all__ = ["MEASURES", "Evaluation", "Subject", "Value", "measure"]


def measure(subject: Subject) -> Evaluation:
    """Everything the family's capabilities allow to measure.

    Raises:
        UsageError, MissingExtraError, MissingInputError, DataError: the extractor cannot be had.
        StorageError, CannotCreateError: the cache cannot be written.
    """
    found = Evaluation()
    for capability, take in MEASURES:
        if isinstance(subject.family, capability):
            found = found.joined(take(subject))
    if isinstance(subject.family, Samples):
        return found
    why = f"the model makes no new images ({subject.family.kind})"
    return found.joined(Evaluation({}, dict.fromkeys((*ALL, *NAMES), why)))
