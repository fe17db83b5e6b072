"""Audio to train on: the packages of Debian 12 that the package's weights learnt from.

    apt-get update && python recipes/game_packages.py unpacked

Downloads and unpacks those that are not there yet, each into a folder of its name, and the archives
of music and speech in them (`.pk3`, `public.zip`) beside these; about 5 GB. On Debian and its kin;
the packages of another release may hold other music. game_music.py and game_speech.py take from
them what they need, and from more packages, if these are unpacked beside them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = (
    "0ad-data",
    "colobot-common-sounds",
    "flare-game",
    "freedroidrpg-data",
    "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
    "hedgewars-data",
    "hyperrogue-music",
    "marsshooter-data",
    "megaglest-data",
    "naev-data",
    "nexuiz-music",
    "openclonk-data",
    "redeclipse-data",
    "singularity-music",
    "supertux-data",
    "supertuxkart-data",
    "ufoai-music",
    "unknown-horizons",
    "warmux-data",
    "wesnoth-1.16-music",
    "widelands-data",
    "xmoto-data",
)
ARCHIVES = (".pk3", ".zip")
AUDIO = (".ogg", ".wav", ".mp3", ".flac")


def fetch(package: str, folder: Path) -> str:
    """Download a package and unpack it into the folder; return a line about it."""
    if folder.exists():
        return "is there"
    with tempfile.TemporaryDirectory(dir=folder.parent) as box:
        command = ["apt-get", "download", package]
        got = subprocess.run(command, cwd=box, capture_output=True, text=True)
        debs = list(Path(box).glob("*.deb"))
        if got.returncode or not debs:
            return f"not to be had: {(got.stderr.strip().splitlines() or ['no package'])[-1]}"
        content = Path(box) / "content"
        subprocess.run(["dpkg-deb", "-x", debs[0], content], check=True)
        for archive in sorted(content.rglob("*")):
            if archive.suffix in ARCHIVES and archive.is_file():
                unzip(archive)
        content.rename(folder)
    return "unpacked"


def unzip(archive: Path) -> None:
    """Unpack an archive's audio beside it, into a folder of its name, and remove it."""
    folder = archive.with_suffix("")
    with zipfile.ZipFile(archive) as box:
        for name in box.namelist():
            if name.lower().endswith(AUDIO):
                box.extract(name, folder)
    archive.unlink()


def main() -> None:
    """Have every package, and say which are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("unpacked", type=Path, help="folder for a folder of each package")
    options = parser.parse_args()
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        sys.exit("no apt-get and dpkg-deb: run this on Debian or in a container of it")
    options.unpacked.mkdir(parents=True, exist_ok=True)
    missing = []
    for package in PACKAGES:
        line = fetch(package, options.unpacked / package)
        print(f"{package}: {line}", flush=True)
        if not (options.unpacked / package).exists():
            missing.append(package)
    if missing:
        sys.exit(f"{len(missing)} of {len(PACKAGES)} are missing: {', '.join(missing)}")


if __name__ == "__main__":
    main()
