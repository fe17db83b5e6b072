"""Where the time goes when `unbraid separate` separates a song.

    python benchmarks/hotspots.py [--rate 48000] [--format mp3]

Runs the command itself, in this process, on the demo song repeated to four minutes, and prints a
Markdown table: seconds of all threads by stage, from torch's profiler, which sees every operation
of every thread, and their share. What runs inside an operation counts for the stage of that
operation. Python's own time between operations, and that of NumPy outside of all stages, shows only
in the last line: what the threads had left of the command's time.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile
import torch
from torch._C._profiler import _ExperimentalConfig
from torch.autograd.profiler_util import EventList
from torch.profiler import ProfilerActivity, profile, record_function

from common import DEMO, RATE, lengthened, mixture
from unbraid import cli
from unbraid.audio import AudioReader, AudioWriter, Resampler
from unbraid.models import checkpoint, presence, spleeter
from unbraid.runner import Runner
from unbraid.separator import Separator

MARK = "stage: "
STAGES = (  # what is called, and the stage that it is
    (checkpoint, "load", "loading the weights"),
    (AudioReader, "read", "decoding"),
    (Resampler, "process", "resampling"),
    (spleeter, "centred_stft", "STFT"),
    (spleeter, "centred_istft", "inverse STFT"),
    (spleeter.Spleeter, "with_evidence", "network, rest"),
    (Runner, "_estimate", "check that all is finite, copies"),
    (presence.Gate, "remembered", "gate over the song"),
    (presence.Gate, "scored", "gate over the song"),
    (Separator, "_complete", "residual and rounding"),
    (AudioWriter, "write", "writing"),
    (AudioWriter, "__exit__", "writing"),
)
OPERATIONS = dict.fromkeys(("aten::conv2d", "aten::conv_transpose2d"), "network, convolutions")
ELSE = "segments and overlap-add"  # what torch computes outside of all stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--song", type=Path, nargs="+", default=[DEMO], help="files to be summed")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=RATE, help="that the song is said to have, Hz")
    parser.add_argument("--format", default="wav", help="of the stems")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        song = Path(name, "song.wav")
        audio = lengthened(mixture(options.song), options.minutes * 60)
        soundfile.write(song, audio.T, options.rate, "PCM_16")
        command = ["separate", str(song), "-o", name, "--device", "cpu"]
        command += ["--format", options.format]
        threads = _ExperimentalConfig(profile_all_threads=True)
        with (
            marked(),
            profile(activities=[ProfilerActivity.CPU], experimental_config=threads) as profiler,
        ):
            start = time.perf_counter()
            cli.app(command, standalone_mode=False)
            elapsed = time.perf_counter() - start
    spent = times(profiler.events())
    total = sum(spent.values())
    print(
        f"{options.minutes:g} minutes of {options.rate} Hz to {options.format}, under the profiler "
        f"in {elapsed:.1f} s, {options.threads} threads\n\n| stage | s of a thread | share |\n"
        "| --- | --: | --: |"
    )
    for stage, took in spent.most_common():
        print(f"| {stage} | {took:.2f} | {took / total:.1%} |")
    left = elapsed * options.threads - total
    print(f"| outside of all: waiting, Python | {left:.2f} | |")


def marked() -> ExitStack:
    """Stages become events of the profiler while this is entered."""
    stack = ExitStack()
    for owner, name, stage in STAGES:
        function = getattr(owner, name)
        stack.enter_context(mock.patch.object(owner, name, as_stage(function, stage)))
    return stack


def as_stage(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def staged(*args: Any, **options: Any) -> Any:
        with record_function(MARK + stage):
            return function(*args, **options)

    return staged


def times(events: EventList) -> Counter[str]:
    """Seconds by stage: each event's own time goes to the innermost stage around it."""
    spent: Counter[str] = Counter()
    for event in events:
        around = event
        while around is not None and stage_of(around.name) is None:
            around = around.cpu_parent
        stage = ELSE if around is None else stage_of(around.name)
        spent[stage] += event.self_cpu_time_total / 1e6
    return spent


def stage_of(name: str) -> str | None:
    return name.removeprefix(MARK) if name.startswith(MARK) else OPERATIONS.get(name)


if __name__ == "__main__":
    main()
