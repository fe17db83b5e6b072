"""What each of the ways to be fast gains: `unbraid separate` with and without it, in turns.

    python benchmarks/gains.py [--minutes 4] [--rounds 5]

Every run is a process of its own, as the command is. Prints a Markdown table of median seconds, and
how many times as long a run takes without (the median of the rounds' ratios).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import soundfile

from common import DEMO, RATE, environment, lengthened, mixture

COMMAND = "from unbraid.cli import main; main()"
WITHOUT = {  # what runs before the command
    "(nothing left out)": "",
    "a thread for each segment": """
import unbraid.runner
unbraid.runner.AT_ONCE = 1
""",
    "keeping freed memory": """
import unbraid.allocator
unbraid.allocator.keep_freed_memory = lambda: None
""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are taken")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--song", type=Path, nargs="+", default=[DEMO], help="files to be summed")
    parser.add_argument("words", nargs="*", help="more for the command, after --")
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in WITHOUT}
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder, "song.wav")
        audio = lengthened(mixture(options.song), options.minutes * 60)
        soundfile.write(song, audio.T, RATE, "PCM_16")
        words = ["separate", str(song), "-o", folder, "--device", "cpu", *options.words]
        for _ in range(options.rounds):
            for name, before in WITHOUT.items():
                program = [sys.executable, "-c", before + COMMAND, *words]
                start = time.perf_counter()
                subprocess.run(
                    program,
                    env=environment(options.threads),
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                times[name].append(time.perf_counter() - start)
    print(
        f"{options.minutes:g} minutes, {options.threads} threads, {options.rounds} rounds\n\n"
        "| `unbraid separate` without | takes | times as long |\n| --- | --: | --: |"
    )
    whole = next(iter(times.values()))
    for name, took in times.items():
        longer = median(a / b for a, b in zip(took, whole, strict=True))
        print(f"| {name} | {median(took):.2f} s | {longer:.2f} |")


if __name__ == "__main__":
    main()
