"""STFT and its inverse as matrix products on real numbers, for graphs that know no others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class MatmulSTFT(nn.Module):
    """What `torch.stft` and `torch.istft` do with centred, reflected frames, at a fixed length.

    Complex numbers are pairs of real ones on the last axis. A transform of N = p q samples is one
    of size p, a rotation and one of size q, so that its matrices hold p² and q² numbers instead of
    N²: Cooley and Tukey, "An Algorithm for the Machine Calculation of Complex Fourier Series"
    (Mathematics of Computation 19, 1965).

    Args:
        window: of analysis and synthesis, `[n_fft]`; n_fft is even.
        hop: distance of frames in samples, at most n_fft / 2.
        samples: length of the audio, longer than half a window.
    """

    def __init__(self, window: Tensor, hop: int, samples: int) -> None:
        super().__init__()
        n = len(window)
        p = next(size for size in range(math.isqrt(n), 0, -1) if n % size == 0)
        q = n // p
        rows = q // 2 + 1  # frequencies are k = k1 + p k2; those up to half the rate have k2 < rows
        self.n_fft, self.hop, self.samples = n, hop, samples
        self.frames, self.p, self.q, self.rows = samples // hop + 1, p, q, rows
        self.window = _constant(window)
        short, long, turn = _roots(p, p, p), _roots(q, rows, q), _roots(p, q, n)
        self.short = _constant(torch.cat([short.real, short.imag]))  # [2 p, p]
        self.long = _constant(_as_real(long))  # [2 q, 2 rows]
        self.turn = _constant(torch.view_as_real(turn).movedim(-1, 0))  # [2, p, q]
        # the inverse goes back through the same matrices; half a spectrum does for a real output
        twice = torch.full((n // 2 + 1, 1), 2.0, dtype=torch.float64)
        twice[0] = twice[-1] = 1
        self.scale = _constant(twice / n)
        self.parts = -(-n // hop)  # hops that a frame touches
        self.ragged = self.parts * hop - n
        power = functional.pad(window.double() ** 2, (0, self.ragged))
        frames = power.expand(self.frames, -1).reshape(self.frames, self.parts, hop)
        self.level = _constant(1 / _added(frames).clamp(min=1e-8))  # [hops, hop]

    def forward(self, audio: Tensor) -> Tensor:
        """Spectrogram `[b, c, f, t, 2]` of audio `[b, c, samples]`."""
        channels, half = audio.shape[1], self.n_fft // 2
        count = self.frames - 1 + self.parts
        padded = functional.pad(audio, (half, half), mode="reflect")
        padded = functional.pad(padded, (0, count * self.hop - padded.shape[-1]))
        hops = padded.reshape(-1, channels, count, self.hop)
        touched = [hops[:, :, part : part + self.frames] for part in range(self.parts)]
        frames = torch.cat(touched, -1)[..., : self.n_fft]
        x = (frames * self.window).reshape(-1, channels, self.frames, self.p, self.q)
        re, im = (self.short @ x).split(self.p, dim=-2)
        cos, sin = self.turn[0], self.turn[1]
        x = torch.cat([re * cos - im * sin, re * sin + im * cos], -1) @ self.long
        x = x.reshape(-1, channels, self.frames, self.p, 2, self.rows)
        x = x.permute(0, 1, 5, 3, 2, 4).flatten(2, 3)  # [b, c, k2 k1, t, 2]
        return x[:, :, : half + 1]

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Audio `[b, samples]` of a spectrogram `[b, f, t, 2]`: least-squares overlap-add."""
        half, missing = self.n_fft // 2, self.rows * self.p - (self.n_fft // 2 + 1)
        x = spectrum.permute(0, 2, 1, 3) * self.scale
        x = functional.pad(x, (0, 0, 0, missing)).reshape(-1, self.frames, self.rows, self.p, 2)
        x = x.permute(0, 1, 4, 2, 3).reshape(-1, self.frames, 2 * self.rows, self.p)
        re, im = (self.long @ x).split(self.q, dim=-2)  # [b, t, q, p]
        cos, sin = self.turn[0].T, self.turn[1].T
        x = torch.cat([re * cos + im * sin, im * cos - re * sin], -1) @ self.short
        x = x.transpose(-1, -2).reshape(-1, self.frames, self.n_fft) * self.window
        x = functional.pad(x, (0, self.ragged))
        hops = _added(x.reshape(-1, self.frames, self.parts, self.hop)) * self.level
        return hops.flatten(1)[:, half : half + self.samples]


def _added(frames: Tensor) -> Tensor:
    """Overlap-add frames `[..., t, parts, hop]` to `[..., t + parts - 1, hop]`."""
    parts = frames.shape[-2]
    padded = [
        functional.pad(frames[..., part, :], (0, 0, part, parts - 1 - part))
        for part in range(parts)
    ]
    return torch.stack(padded).sum(0)


def _roots(rows: int, columns: int, n: int) -> Tensor:
    """Roots of unity exp(-2 pi i r c / n), `[rows, columns]`."""
    product = torch.outer(torch.arange(rows), torch.arange(columns)) % n
    angle = product.double() * (-2 * math.pi / n)
    return torch.complex(angle.cos(), angle.sin())


def _as_real(matrix: Tensor) -> Tensor:
    """A real matrix that maps rows `[re, im]` as a complex one maps rows."""
    return torch.cat(
        [torch.cat([matrix.real, matrix.imag], 1), torch.cat([-matrix.imag, matrix.real], 1)]
    )


def _constant(values: Tensor) -> nn.Buffer:
    return nn.Buffer(values.float().contiguous(), persistent=False)
