"""What several of the programs use: the demo song at any length, and processes to be measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100
DEMO = Path(__file__).parents[1] / "demo" / "lithium.flac"
# A process of its own: what it starts would else begin with this process's peak as its own.
LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def mixture(files: list[Path]) -> np.ndarray:
    """The sum of the files `[channels, samples]`."""
    return sum(soundfile.read(file, dtype="float32", always_2d=True)[0].T for file in files)


def lengthened(song: np.ndarray, seconds: float) -> np.ndarray:
    samples = round(seconds * RATE)
    return np.tile(song, -(-samples // song.shape[1]))[:, :samples]


def peak_mib(arguments: list[str], threads: int) -> float:
    """Peak memory of a process."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    launched = [sys.executable, "-c", LAUNCHER, *arguments]
    done = subprocess.run(launched, env=environment(threads), check=True, stdout=subprocess.PIPE)
    return int(done.stdout) * unit / 2**20


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}
