"""What training aims at, as configurations say it; imports no torch, which takes seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from unbraid.data.config import NOT_NEGATIVE, POSITIVE, check_limits
from unbraid.errors import ConfigError


@dataclass
class LossConfig:
    """Weights of the loss's terms; a term of weight 0 is not computed.

    Spectra are scaled by the root of their window's length, so that magnitudes are of the size of
    samples, and averaged over `resolutions`.

    Attributes:
        waveform: of the mean absolute error of samples.
        waveform_mse: of the mean squared error of samples.
        spectrum: of the mean absolute error of real and imaginary parts.
        complex_mse: of the mean of |E - T|² over bins, for complex spectra E of the estimate and T
            of the target: a squared error that counts phase.
        magnitude_mse: of the mean of (|E| - |T|)² over bins.
        log_magnitude: of log-L2, the mean of (ln(|E| + 0.001) - ln(|T| + 0.001))² over bins.
        log_error: of the logarithm of the error's energy relative to the target's, which counts
            quiet and loud examples alike and keeps absolute errors from favouring too soft stems.
        resolutions: STFT windows in samples; the hop is a quarter window.
    """

    waveform: float = 1.0
    waveform_mse: float = 0.0
    spectrum: float = 1.0
    complex_mse: float = 0.0
    magnitude_mse: float = 0.0
    log_magnitude: float = 0.0
    log_error: float = 0.0
    resolutions: list[int] = field(default_factory=lambda: [4096, 1024])

    def __post_init__(self) -> None:
        terms = [name for name in vars(self) if name != "resolutions"]
        check_limits("loss", self, dict.fromkeys(terms, NOT_NEGATIVE))
        if not any(getattr(self, name) for name in terms):
            raise ConfigError(f"loss: every weight is 0; set one of: {', '.join(terms)}")
        if not self.resolutions:
            raise ConfigError("loss.resolutions is empty; give a window in samples")


@dataclass
class TeacherConfig:
    """A model whose estimates take part in the targets.

    Attributes:
        model: its name, or a `.safetensors` file; null: no teacher.
        share: of its estimate in a target; the rest is the truth. A silent target stays silent.
        highest: Hz up to which it is listened to; above, targets are the truth.
    """

    model: str | None = None
    share: float = 0.5
    highest: float = 22050.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"teacher.share {self.share}: give a part from 0 to 1, not 0")
        check_limits("teacher", self, {"highest": POSITIVE})
