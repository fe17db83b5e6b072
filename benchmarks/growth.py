"""How time and peak memory of `unbraid separate` grow with the song, and when it starts to write.

    python benchmarks/growth.py [--quick] [-o FILE.json]

Separates the demo song, repeated to 10 s, 1 min, 10 min, 1 h and 2 h of 16-bit WAV (--quick: up to
10 min), each in a process of its own, and prints Markdown tables. First bytes: from the command to
the first audio in the file of a stem, the median of three runs on 30 s. The stems of 2 h take
2.5 GB of the temporary folder (TMPDIR).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from common import DEMO, RATE, environment, lengthened, mixture, peak_mib

SECONDS = {"10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600, "2 h": 7200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="nothing longer than ten minutes")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--song", type=Path, nargs="+", default=[DEMO], help="files to be summed")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    song = mixture(options.song)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = {"threads": options.threads, "start": start(song, folder, options.threads)}
        print(started(report["start"]), flush=True)
        print(
            "\n| song | time | x real time | peak memory |\n| --- | --: | --: | --: |", flush=True
        )
        report["growth"] = rows = []
        for length, seconds in list(SECONDS.items())[: 3 if options.quick else None]:
            rows.append({"seconds": seconds, **separated(song, seconds, folder, options.threads)})
            took, peak = rows[-1]["time_s"], rows[-1]["peak_mib"]
            line = f"| {length} | {took:.1f} s | {seconds / took:.1f} | {peak:.0f} MiB |"
            print(line, flush=True)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")


def separated(song: np.ndarray, seconds: int, folder: Path, threads: int) -> dict[str, float]:
    """Seconds from the command to its end, and its peak memory."""
    path, out = folder / "song.wav", folder / "out"
    part = lengthened(song, min(seconds, 60)).T
    with soundfile.SoundFile(path, "w", RATE, part.shape[1], "PCM_16") as file:
        for _ in range(max(1, seconds // 60)):
            file.write(part)
    begin = time.perf_counter()
    peak = peak_mib(command(path, out), threads)
    took = time.perf_counter() - begin
    for file in [path, *out.rglob("*.wav")]:
        file.unlink()
    return {"time_s": took, "peak_mib": peak}


def start(song: np.ndarray, folder: Path, threads: int) -> dict[str, float]:
    """Seconds to the first bytes of a stem and to the end, medians of three runs on 30 s."""
    path = folder / "short.wav"
    soundfile.write(path, lengthened(song, 30).T, RATE, "PCM_16")
    first, finished = [], []
    for run in range(3):
        out = folder / f"short-{run}"
        begin = time.perf_counter()
        process = subprocess.Popen(
            command(path, out), env=environment(threads), stdout=subprocess.DEVNULL
        )
        seen = None
        while process.poll() is None:
            if seen is None and written(out):
                seen = time.perf_counter() - begin
            time.sleep(0.005)
        if process.returncode:
            sys.exit(f"error: unbraid separate ended with {process.returncode}")
        finished.append(time.perf_counter() - begin)
        first.append(seen or finished[-1])
    return {"first_byte_s": median(first), "finished_s": median(finished)}


def started(figures: dict[str, float]) -> str:
    return (
        "| `unbraid separate` on 30 s | |\n| --- | --: |\n"
        f"| first bytes of a stem | {figures['first_byte_s']:.1f} s |\n"
        f"| finished | {figures['finished_s']:.1f} s |"
    )


def written(folder: Path) -> bool:
    """Whether a stem, finished or not, holds any audio."""
    with contextlib.suppress(FileNotFoundError):  # renamed under our eyes
        return any(file.stat().st_size > 1000 for file in folder.rglob("*.wav"))
    return False


def command(song: Path, out: Path) -> list[str]:
    unbraid = [sys.executable, "-m", "unbraid", "separate"]
    return [*unbraid, str(song), "-o", str(out), "--device", "cpu"]


if __name__ == "__main__":
    main()
