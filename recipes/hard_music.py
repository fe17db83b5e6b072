"""Music to train on that a network takes for singing: the pieces of a collection that leak most.

    python recipes/hard_music.py mean.safetensors unet data/hard --without marsshooter-data

Leads, choirs and pads that sound like voices are rare, and a random draw of music seldom hits one.
All accompaniment that a configuration draws from is separated, every second piece of 12 seconds of
whole tracks, and pieces of which a good part comes out as vocals are written as FLAC. A piece that
comes out nearly whole, or lies in a track that mostly does, may hold a singer and is left out;
so are folders that are known to. What the configuration holds out stays held out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from unbraid import Separator
from unbraid.data.mixing import held_out
from unbraid.data.tracks import audio_files
from unbraid.training.config import read_config

PIECE = 12.0  # seconds
WHOLE = 40.0  # seconds from which a file is a track, not an excerpt
HARD = -20.0  # dB of the vocals in a piece from which it is hard
SUNG, SUNG_TRACK = -6.0, -8.0  # from which someone may sing: of a piece, and the median of a track


def pieces(path: Path) -> Iterator[tuple[int, np.ndarray, int]]:
    """Start in samples, audio `[channels, samples]` and sample rate of each piece of a file."""
    with soundfile.SoundFile(path) as file:
        length = int(PIECE * file.samplerate)
        step = 2 * length if file.frames > WHOLE * file.samplerate else length
        for start in range(0, file.frames - length + 1, step):
            file.seek(start)
            yield start, file.read(length, dtype="float32", always_2d=True).T[:2], file.samplerate


def share(separator: Separator, audio: np.ndarray, rate: int) -> float:
    """Level of the vocals in dB of the mixture."""
    vocals = separator(audio, rate)["vocals"]
    return float(10 * np.log10((np.square(vocals).sum() + 1e-9) / (np.square(audio).sum() + 1e-9)))


def main() -> None:
    """Write what is hard, a file a piece."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="name or weight file of the network that mistakes them")
    parser.add_argument("config", type=Path, help="YAML of a training run; its music is searched")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--without", nargs="*", default=[], help="names of folders to leave out")
    options = parser.parse_args()
    separator = Separator.from_pretrained(options.model)
    data = read_config(options.config).data
    sources = data.stems[separator.stems[-1]].values()
    files = {path.resolve(): path for source in sources for path in audio_files(Path(source.path))}
    options.out.mkdir(parents=True, exist_ok=True)
    for path in tqdm([files[file] for file in sorted(files.keys() - held_out(data))]):
        if set(options.without) & set(path.parts):
            continue
        shares, hard = [], []
        for start, audio, rate in pieces(path):
            shares.append(share(separator, audio, rate))
            if HARD < shares[-1] < SUNG:
                hard.append((start, audio, rate))
        if not shares or np.median(shares) > SUNG_TRACK:
            continue
        for start, audio, rate in hard:
            name = f"{path.parent.name}-{path.stem}-{start}.flac"
            soundfile.write(options.out / name, audio.T, rate, subtype="PCM_16")


if __name__ == "__main__":
    main()
