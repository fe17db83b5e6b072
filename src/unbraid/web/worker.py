"""The child process of a server: reads requests as JSON lines, answers with JSON lines.

Whatever touches the bytes of a stranger's file happens here, so that a crash of a decoder or a lack
of memory ends this process and not the server.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.audio import AudioReader, AudioWriter
from unbraid.audio.files import exceeds_full_scale
from unbraid.errors import AudioError, UnbraidError, UnbraidWarning, describe
from unbraid.planning import Options, Task
from unbraid.songs import Song

if TYPE_CHECKING:
    from unbraid.separator import Separator

_BLOCK = 1 << 17  # samples
UNEXPECTED = "something went wrong that should not; the server's log says what"


@cache
def _separator(model: str, device: str) -> Separator:
    """A model, loaded when it is first asked for; it stays for all songs."""
    from unbraid.separator import Separator  # torch takes seconds: only where it is needed

    return Separator.from_pretrained(model, device=device)


def load(report: Callable[[float], None], model: str, device: str) -> dict[str, Any]:
    """Load a model before a song needs it."""
    _separator(model, device)
    return {}


def models(report: Callable[[float], None], own: str) -> dict[str, Any]:
    """Say which models there are, that of the file `own` first, and which files are damaged."""
    from unbraid.models import list_models
    from unbraid.models.checkpoint import read_info

    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("ignore")  # but for ours
        warnings.simplefilter("always", UnbraidWarning)
        found = [read_info(Path(own)), *list_models()]
    return {
        "models": [
            {
                "name": info.name,
                "path": str(info.path),
                "stems": [*info.targets, info.residual],
                "licence": info.licence,
            }
            for info in found
        ],
        "damaged": [str(warning.message) for warning in damaged],
    }


def measure(report: Callable[[float], None], song: str, max_seconds: float) -> dict[str, Any]:
    """Say what a song holds; one that does not say its length is decoded up to the limit."""
    with AudioReader(song) as reader:
        info = reader.info
        samples = info.samples
        if samples is None:
            samples = 0
            while samples <= max_seconds * info.sample_rate:
                length = reader.read(_BLOCK).shape[1]
                samples += length
                if not length:
                    break
    return {"samples": samples, "sample_rate": info.sample_rate, "channels": info.channels}


def separate(
    report: Callable[[float], None], song: str, out: str, model: str, device: str
) -> dict[str, Any]:
    """Write a song's stems exactly as the command line does: WAV like the input."""
    from unbraid.batch import separate_song

    separator = _separator(model, device)
    options = Options(Path(out), separator.stems, name="{stem}.{ext}")
    result = separate_song(separator, Task(Song(Path(song)), None, None), options, report)
    if result.error is not None:
        if "\n" in result.error:  # a traceback
            raise RuntimeError(result.error)
        raise AudioError(result.error)
    loud = [stem for stem, path in result.files.items() if exceeds_full_scale(path)]
    return {"stems": list(result.files), "loud": loud, "warnings": result.warnings}


def encode(report: Callable[[float], None], source: str, target: str) -> dict[str, Any]:
    """Write a stem in another format, in the bit depth that it has where the format has one."""
    with AudioReader(source) as reader:
        info = reader.info
        depth = info.bit_depth
        if target.endswith(".flac") and depth == "32f":
            depth = "24"  # FLAC holds no floats
        with AudioWriter(target, info.sample_rate, info.channels, depth) as writer:
            while (block := reader.read(_BLOCK)).shape[1]:
                writer.write(block)
    if writer.became_float:
        writer.path.unlink()
        raise AudioError("this stem is louder than full scale, which FLAC cannot hold: take wav")
    return {}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "load": load,
    "models": models,
    "measure": measure,
    "separate": separate,
    "encode": encode,
}


def main() -> None:
    """Answer requests until standard input ends."""
    # what libraries print must not get between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    for line in sys.stdin:
        request = json.loads(line)
        try:
            task = TASKS[request.pop("task")]
            result = task(lambda fraction: say(progress=fraction), **request)
        except (UnbraidError, OSError) as error:
            say(error=describe(error))
        except Exception:
            traceback.print_exc()
            say(error=UNEXPECTED)
        else:
            say(result=result)
