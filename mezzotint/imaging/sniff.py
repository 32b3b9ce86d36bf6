"""What a file is that no decoder accepts, told from its first bytes and its name."""

_OURS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x89PNG", "PNG"),
)
_FOREIGN = (
    (b"8BPS", "a Photoshop document"),
    (b"SIMPLE  =", "a FITS file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance file"),
    (b"DDS ", "a DirectDraw surface"),
    (b"qoif", "a QOI file"),
    (b"gimp xcf", "a GIMP document"),
)
_CAMERA_RAW = (".cr2", ".nef", ".arw", ".dng", ".pef", ".srw", ".nrw", ".orf", ".rw2", ".raf")
_CONVERT = "convert it to PNG, JPEG or WebP"
_MARKUP_STARTS = (b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")

Diagnosis = tuple[str, str]


def refused_by_name(suffix: str) -> Diagnosis | None:
    """Reason and detail for a suffix no file of which is read, whatever its bytes say.

    A camera raw file is a TIFF whose first page is a thumbnail; reading that would be silently
    wrong.
    """
    if suffix.lower() in _CAMERA_RAW:
        return "unsupported", f"a camera raw file; {_CONVERT}"
    return None


def diagnose(data: bytes) -> Diagnosis:
    """Reason and detail for bytes that none of the decoders accepted."""
    head = data[:4096]
    if name := _starts(head, _OURS) or _container(head):
        return "corrupt", f"a {name} file that is damaged or of a kind that is not read"
    if name := _starts(head, _FOREIGN) or _markup(head):
        return "unsupported", f"{name}; {_CONVERT}"
    if head.startswith(b"version https://git-lfs"):
        return "not-image", "a Git LFS pointer without its content; run: git lfs pull"
    return "not-image", "its content is no known kind of image"


def _starts(head: bytes, table: tuple[tuple[bytes, str], ...]) -> str:
    return next((name for magic, name in table if head.startswith(magic)), "")


def _container(head: bytes) -> str:
    """Formats whose magic stands behind a length field."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return "AVIF" if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis") else ""


def _markup(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "a HEIC or video file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "an SVG drawing" if text.startswith(_MARKUP_STARTS) and b"<svg" in text else ""
