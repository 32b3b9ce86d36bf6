"""What counts as a problem of a data set: one rule each, as a table."""

from dataclasses import dataclass

from mezzotint.data import doctor_finders as find
from mezzotint.data.doctor_finders import FEW, IMBALANCE, LONG_ASPECT, SMALL_SIDE, Facts, Finder
from mezzotint.data.doctor_report import EXAMPLES, Problem, Severity

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Rule:
    """A kind of problem; ``find`` names each case of it."""

    code: str
    severity: Severity
    what: str
    find: Finder
    fix: str


def find_problems(facts: Facts) -> tuple[Problem, ...]:
    """Every rule that finds something, worst first."""
    found = [problem for rule in RULES if (problem := _apply(rule, facts))]
    return tuple(sorted(found, key=lambda problem: _ORDER.index(problem.severity)))


def _apply(rule: Rule, facts: Facts) -> Problem | None:
    cases = rule.find(facts)
    if not cases:
        return None
    examples = tuple(cases[:EXAMPLES])
    return Problem(rule.code, rule.severity, rule.what, len(cases), examples, rule.fix)


RULES = (
    Rule(
        "no-images",
        "error",
        "no usable image",
        find.no_images,
        "Point at a folder or archive of PNG, JPEG, WebP, BMP, GIF or TIFF files.",
    ),
    Rule(
        "unreadable",
        "warning",
        "files that cannot be read",
        find.unreadable,
        "Replace or delete these files, or save those above 64 megapixels as plain JPEG, which is"
        " read at a fraction of its size; training leaves them out.",
    ),
    Rule(
        "leaks",
        "warning",
        "held-out images that are also in train",
        find.exact_leaks,
        "Delete them from one side, or every held-out number will be too good.",
    ),
    Rule(
        "near-leaks",
        "warning",
        "held-out images that look like one in train",
        find.near_leaks,
        "Look at them and put all versions of one picture on the same side.",
    ),
    Rule(
        "label-conflicts",
        "warning",
        "equal images under different labels",
        find.exact_conflicts,
        "Decide which label is right and delete the other copies.",
    ),
    Rule(
        "near-label-conflicts",
        "note",
        "images that look the same under different labels",
        find.near_conflicts,
        "Look at them; one of the labels may be wrong.",
    ),
    Rule(
        "duplicates",
        "warning",
        "copies with exactly the same pixels",
        find.extra_copies,
        "Keep one of each, or the model learns copies by heart.",
    ),
    Rule(
        "near-duplicates",
        "warning",
        "images that look like another one",
        find.extra_likes,
        "Look at them and keep one of each, unless a fixed camera makes all images alike.",
    ),
    Rule(
        "constant",
        "warning",
        "images of a single colour",
        find.where(lambda exam: exam.flat),
        "Delete them; if they are drawn in white on transparent, choose another background.",
    ),
    Rule(
        "tiny",
        "warning",
        f"images with a side below {SMALL_SIDE} pixels",
        find.where(lambda exam: min(exam.size) < SMALL_SIDE),
        "Delete them or find larger originals; they are enlarged and stay blurred.",
    ),
    Rule(
        "extreme-aspect",
        "warning",
        f"images more than {LONG_ASPECT} times as long as wide",
        find.where(find.is_long),
        "Cut them to the part that matters, or pad instead of cropping.",
    ),
    Rule(
        "animated",
        "note",
        "files with more than one frame",
        find.where(lambda exam: exam.info.frames > 1),
        "Extract the frames you want; only the first one is used.",
    ),
    Rule(
        "imbalance",
        "warning",
        f"classes more than {IMBALANCE} times rarer than the most frequent one",
        find.rare_classes,
        "Add images to the rare classes or take some from the frequent ones.",
    ),
    Rule(
        "small-classes",
        "warning",
        f"classes of fewer than {FEW} images",
        find.small_classes,
        "Add images or merge these classes with others.",
    ),
    Rule(
        "unlabelled",
        "warning",
        "images without a label among labelled ones",
        find.unlabelled,
        "Move them into a class folder or give them a label in the metadata.",
    ),
    Rule(
        "captions-missing",
        "warning",
        "images without a caption among captioned ones",
        find.missing_captions,
        "Write a caption for each.",
    ),
    Rule(
        "captions-empty",
        "warning",
        "captions that hold nothing",
        find.where(lambda exam: find.is_empty(exam.entry.caption)),
        "Write what the image shows.",
    ),
    Rule(
        "captions-repeated",
        "note",
        "captions that stand for several images, together for most of them",
        find.repeated_captions,
        "Write more specific captions if single images are to be told apart by text.",
    ),
    Rule(
        "mixed-sizes",
        "note",
        "images of another size than the most frequent one",
        find.unlike_most(lambda exam: exam.size),
        "Nothing must be done: all are brought to one size; choose it with --size.",
    ),
    Rule(
        "mixed-modes",
        "note",
        "images stored in another form than most (grey, RGB, palette, bits)",
        find.unlike_most(lambda exam: (exam.info.mode, exam.info.bits)),
        "Nothing must be done: all are brought to one form; choose it with --channels.",
    ),
    Rule(
        "deep",
        "note",
        "images of more than 8 bits",
        find.where(lambda exam: exam.info.bits > 8),
        "Check in a sample that 8 bits show what matters; stretch the contrast if not.",
    ),
    Rule(
        "transparent",
        "note",
        "images with transparent parts",
        find.where(lambda exam: exam.transparent),
        "They are laid on white; --channels 4 keeps the transparency.",
    ),
    Rule(
        "grey-as-colour",
        "note",
        "colour files in a set without any colour",
        find.grey_as_colour,
        "Train with --channels 1: the same pictures in a third of the memory.",
    ),
)
