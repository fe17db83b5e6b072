"""What stems are called and written as: checked before anything is computed."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable
from pathlib import PurePath

from unbraid.audio.info import FORMATS, LOSSY_FORMATS
from unbraid.audio.quantize import BIT_DEPTHS
from unbraid.errors import ConfigError, ModelError


def check_stems(stems: Iterable[object]) -> None:
    """Check that files can be named after the stems of a network, which may be anybody's.

    Raises:
        ModelError: for one that is no name, or that leads to another folder.
    """
    for stem in stems:
        if not isinstance(stem, str) or not stem.isprintable() or {*"/\\:"} & {*stem} or not stem:
            raise ModelError(
                f"the network calls a stem {stem!r}, and no file can be named so: give it a name"
            )


def check_output(name: str, stems: Collection[str], format: str, bit_depth: str) -> None:
    """Check that stems can be called and written so.

    Args:
        name: template of their paths, with the fields {track}, {stem} and {ext}.
        stems: those to write.
        format: "wav", "flac", "mp3", "ogg" or "opus".
        bit_depth: "auto" (as the song), "16", "24" or "32f".

    Raises:
        ConfigError: a template that is malformed or has one path for several stems, an unknown
            format or bit depth, or a format that cannot hold it.
    """
    try:
        parts = list(string.Formatter().parse(name))
    except ValueError as error:
        raise ConfigError(f"name {name!r}: {error}") from None
    fields = {field for _, field, _, _ in parts if field is not None}
    if fields - {"track", "stem", "ext"} or any(form or bang for _, _, form, bang in parts):
        raise ConfigError(f"name {name!r}: its fields are {{track}}, {{stem}} and {{ext}}")
    if not name.endswith(".{ext}"):
        raise ConfigError(f"name {name!r} must end with '.{{ext}}'")
    if len(stems) > 1 and "stem" not in fields:
        raise ConfigError(f"name {name!r} must contain {{stem}}: several stems are written")
    if format not in FORMATS:
        raise ConfigError(f"format {format!r}: give {', '.join(map(repr, FORMATS))}")
    if bit_depth not in ("auto", *BIT_DEPTHS):
        raise ConfigError(
            f"bit_depth {bit_depth!r}: give 'auto', {', '.join(map(repr, BIT_DEPTHS))}"
        )
    if format == "flac" and bit_depth == "32f":
        raise ConfigError("flac holds no 32-bit float: choose 24 bits, or wav")
    if format in LOSSY_FORMATS and bit_depth != "auto":
        raise ConfigError(f"{format} is lossy and has no bit depth: choose wav or flac")


def forms_of(path: PurePath) -> list[PurePath]:
    """A file to write, and for FLAC the float WAV that is written if it would clip."""
    return [path, path.with_suffix(".wav")] if path.suffix == ".flac" else [path]
