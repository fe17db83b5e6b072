"""ONNX that takes a waveform and gives waveforms, for onnxruntime on any machine.

The graph holds the whole network from samples to samples: `unbraid.fourier` for the STFT, ONNX's
own nodes for LSTMs and GRUs, and neither complex numbers nor loops. Its segment is of a fixed
length, its batch of any size.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from unbraid.errors import ConfigError, ModelError, UnbraidError
from unbraid.fourier import MatmulSTFT
from unbraid.models import checkpoint, find
from unbraid.models.bandsplit import BandSplit
from unbraid.models.conv1d import Conv1d
from unbraid.models.dprnn import DPRNN
from unbraid.models.onnx import (
    EVIDENCE,
    INPUT,
    OUTPUT,
    SUFFIX,
    OnnxConfig,
    OnnxNetwork,
    metadata_of,
)
from unbraid.models.openunmix import OpenUnmix
from unbraid.models.presence import FEATURES
from unbraid.models.spleeter import Spleeter
from unbraid.overlap import SEGMENT, grid_of, segment_samples
from unbraid.replacing import replacing

OPSET = 17  # the first with LayerNormalization; onnxruntime 1.12 and later run it
TOLERANCE = 1e-4  # of full scale, between onnxruntime and torch


def export(name_or_path: str | Path, out: str | Path, segment: float = SEGMENT) -> OnnxConfig:
    """Write a network as ONNX; the file appears whole and compared with torch, or not at all.

    Args:
        name_or_path: name of a model at hand, or path of a weight file.
        out: file to write, `.onnx`.
        segment: length that the graph takes, in seconds; rounded to whole hops.

    Returns:
        What the file tells of itself.

    Raises:
        ConfigError: for an impossible segment or another suffix.
        ModelError: if the network can't be had, has no such form, or differs in onnxruntime.
        UnbraidError: if the file can't be written.
    """
    out, path = Path(out), find(name_or_path)
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: choose a name that ends in {SUFFIX}")
    if path.suffix == SUFFIX:
        raise ModelError(f"{path}: exported already; name the model that it was made of")
    info = checkpoint.read_info(path)
    network = checkpoint.load(path)
    settings: Any = network.config
    config = OnnxConfig(
        targets=settings.targets,
        residual=settings.residual,
        sample_rate=settings.sample_rate,
        hop=getattr(settings, "hop", 1),
        grid=grid_of(network),
        segment=segment_samples(settings, segment),
    )
    graph = _on_real_numbers(network, config.segment)
    gates = network.gates if isinstance(network, Spleeter) else nn.ModuleList()
    try:
        with replacing(out) as temporary:
            temporary.touch()  # a folder that can't be written to is known before the work
            _write(graph, config.segment, temporary)
            _describe(temporary, config, metadata_of(info, config, gates))
            _compare(OnnxNetwork(temporary), network)
    except OSError as error:
        raise UnbraidError(
            f"{out}: cannot be written ({error.strerror}); choose another"
        ) from error
    return config


class _Masking(nn.Module):
    """A network that masks spectrograms: `[b, 2, samples]` to `[b, targets, 2, samples]`.

    Args:
        network: the network.
        samples: length of the audio.
    """

    def __init__(self, network: BandSplit | DPRNN | OpenUnmix | Spleeter, samples: int) -> None:
        super().__init__()
        self.network, self.samples = network, samples
        config = network.config
        windows = [(config.n_fft, config.hop)]
        if isinstance(network, Spleeter):
            windows += network.config.looks
        longest = max(n_fft for n_fft, _ in windows)
        if samples < longest:
            least = longest / config.sample_rate
            raise ConfigError(f"segment: give {least:.3f} s, the network's window, or more")
        hann = isinstance(network, OpenUnmix | Spleeter)  # others as unbraid.spectrogram has it
        self.stfts = nn.ModuleList(
            MatmulSTFT(window if hann else window.sqrt(), hop, samples)
            for window, hop in ((torch.hann_window(n_fft), hop) for n_fft, hop in windows)
        )
        tells = isinstance(network, Spleeter) and network.config.presence
        self.outputs = [OUTPUT, EVIDENCE] if tells else [OUTPUT]

    def forward(self, mixture: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Estimate the targets, and tell what a network with gates tells of them."""
        if not isinstance(self.network, Spleeter):
            return self._by_masks(self.network, mixture)
        looks = [self._look(self.network, stft, mixture) for stft in self.stfts]
        audio = torch.stack([audio for audio, _ in looks]).mean(0)
        if EVIDENCE not in self.outputs:
            return audio
        return audio, self.network.in_frames(looks[0][1], self.samples)

    def _by_masks(self, network: BandSplit | DPRNN | OpenUnmix, mixture: Tensor) -> Tensor:
        (stft,) = self.stfts
        return self._audio(self._estimates(network, stft(mixture)), stft)

    def _look(self, network: Spleeter, stft: Any, mixture: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = stft(mixture)  # [b, c, f, t, 2]
        masks, evidence = network.masks(_magnitudes(spectrum), stft.hop)
        return self._audio(masks.unsqueeze(-1) * spectrum.unsqueeze(1), stft), evidence

    def _audio(self, estimates: Tensor, stft: Any) -> Tensor:
        """`[b, targets, 2, samples]` from `[b, targets, c, f, t, 2]`."""
        targets = len(self.network.config.targets)
        audio: Tensor = stft.inverse(estimates.flatten(0, 2))
        return audio.reshape(-1, targets, 2, self.samples)

    def _estimates(self, network: BandSplit | DPRNN | OpenUnmix, spectrum: Tensor) -> Tensor:
        mixture = spectrum.unsqueeze(1)
        if isinstance(network, BandSplit):
            return _product(network.real_masks(spectrum), mixture)
        masks = network.masks(_magnitudes(spectrum))
        if isinstance(network, DPRNN):
            masks = masks.transpose(-1, -2)
        return masks.unsqueeze(-1) * mixture


def _magnitudes(spectrum: Tensor) -> Tensor:
    """Of pairs `[..., 2]`; networks that mask take magnitudes of what they get."""
    return spectrum.square().sum(-1).sqrt()


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Complex product of pairs `[..., 2]`."""
    re = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
    im = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return torch.stack([re, im], dim=-1)


def _on_real_numbers(network: nn.Module, samples: int) -> nn.Module:
    """The network for audio of a length, without complex numbers."""
    if isinstance(network, Conv1d):
        return network
    if not isinstance(network, BandSplit | DPRNN | OpenUnmix | Spleeter):
        raise ModelError(f"{type(network).__name__} has no form on real numbers to export")
    if isinstance(network, DPRNN) and network.config.causal:
        raise ModelError("a causal dprnn has no form on real numbers to export")
    return _Masking(network, samples).eval()


def _write(graph: nn.Module, samples: int, path: Path) -> None:
    """Trace: the exporter that writes LSTMs as LSTMs in every version of torch that we support."""
    outputs = graph.outputs if isinstance(graph, _Masking) else [OUTPUT]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # that it is the older one; that shapes are fixed
        torch.onnx.export(
            graph,
            (torch.zeros(2, 2, samples),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *outputs)},
        )


def _describe(path: Path, config: OnnxConfig, metadata: dict[str, str]) -> None:
    """Add the metadata, and the outputs' shapes, of which the tracer knows the batch alone."""
    model = onnx.load(path)
    targets = len(config.targets)
    sizes = {
        OUTPUT: (targets, 2, config.segment),
        EVIDENCE: (targets, FEATURES, config.segment // config.hop),
    }
    for output in model.graph.output:
        dimensions = output.type.tensor_type.shape.dim[1:]
        for dimension, size in zip(dimensions, sizes[output.name], strict=True):
            dimension.dim_value = size
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _compare(exported: OnnxNetwork, network: nn.Module) -> None:
    """Compare on a sound, in a batch of another size than the traced one."""
    sound = sung_in_noise(exported.config.segment, exported.config.sample_rate)
    with torch.inference_mode():
        pairs = [(exported(sound), network(sound))]
        if isinstance(network, Spleeter) and network.gates:
            theirs, ours = exported.with_evidence(sound), network.with_evidence(sound)
            pairs = [*zip(theirs, ours, strict=True)]
    difference = max(float((made - expected).abs().max()) for made, expected in pairs)
    if not difference < TOLERANCE:
        raise ModelError(f"onnxruntime differs from torch by {difference:.1e}: nothing exported")


def sung_in_noise(samples: int, sample_rate: int) -> Tensor:
    """A tone with vibrato and syllables in white noise, and the silence after it.

    Noise alone would prove nothing of a network that is silent where nobody sings.

    Args:
        samples: length of the sound.
        sample_rate: Hz.

    Returns:
        `[1, 2, samples]`.
    """
    sound = 0.1 * torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0))
    seconds = torch.arange(samples, dtype=torch.float64) / sample_rate
    turns = 220 * (seconds - 0.03 * torch.cos(2 * torch.pi * 5.5 * seconds) / (2 * torch.pi * 5.5))
    tone = sum(torch.sin(2 * torch.pi * k * turns) / k for k in range(1, 30))
    sound += (0.3 * tone * torch.sin(2 * torch.pi * seconds) ** 2).float()
    sound[..., samples * 3 // 4 :] = 0
    return sound
