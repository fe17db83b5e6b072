"""Where the gates of a network are shut: silence, warnings, and how long is waited for them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sounds import RATE, music
from unbraid import Separator
from unbraid.errors import UnbraidWarning
from unbraid.gating import AHEAD
from unbraid.models import build
from unbraid.models.presence import FEATURES, Gate


class Sings(Gate):
    """Open if any cell that it knows of peaks above -12 dBFS."""

    def __init__(self) -> None:
        super().__init__(1)

    def remembered(self, cell: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        return cell if past is None else cell.maximum(past)

    def scored(self, past: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        return (past.maximum(cells.amax(0))[:1] > 0).float()


class Gated(torch.nn.Module):
    """Takes half of the song for vocals; its gate hears where the song peaks above -12 dBFS."""

    config = build("bandsplit", features=8, hidden=8, blocks=0).config
    grid = 43 * config.hop
    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.gates = torch.nn.ModuleList([Sings()])

    def with_evidence(self, mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += 1
        peaks = mixture.abs().amax(1).unflatten(1, (-1, self.config.hop)).amax(2)
        evidence = (peaks > 0.25).float()[:, None, None]
        return mixture[:, None] / 2, evidence.expand(-1, 1, FEATURES, -1)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_stem_that_is_nowhere_in_the_song_is_silent_and_a_warning_tells(
    tmp_path, rate: int
) -> None:
    soft = tmp_path / "soft.wav"
    soundfile.write(soft, music(11 * rate).T.clip(-0.1, 0.1), rate, "PCM_16")
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals") as told:
        paths = Separator(Gated()).separate_file(soft, tmp_path / "soft")
    assert len(told) == 1
    assert not soundfile.read(paths["vocals"])[0].any()
    np.testing.assert_array_equal(
        soundfile.read(paths["accompaniment"])[0], soundfile.read(soft)[0]
    )


def test_of_a_silent_stem_of_an_array_a_warning_tells_where_it_was_asked_for() -> None:
    soft = music(11 * RATE).clip(-0.1, 0.1)
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals") as told:
        stems = Separator(Gated())(soft, RATE)
    assert [each.filename for each in told] == [__file__]
    assert not stems["vocals"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Separator(Gated())(np.zeros_like(soft), RATE)


def test_progress_is_told_while_the_rest_of_the_song_is_waited_for() -> None:
    def cancel(fraction: float) -> None:
        raise InterruptedError

    network = Gated()
    with pytest.raises(InterruptedError):
        Separator(network, segment=1.0)(music(29 * RATE) / 5, RATE, progress=cancel)
    assert 0 < network.asked < 10  # of 39 segments


def test_silence_holds_no_vocals_and_nobody_is_warned(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros((11 * RATE, 2)), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Separator(Gated()).separate_file(tmp_path / "silence.wav", tmp_path / "out")


def test_a_stem_is_heard_where_the_rest_of_the_song_speaks_for_it() -> None:
    quiet, loud = music(60 * RATE) * 0.001, music(RATE)
    mixture = np.concatenate([quiet, loud, quiet], axis=1)
    separated = Separator(Gated())(mixture, RATE)
    heard = np.abs(separated["vocals"]).max(0) > 0
    first = (60 * RATE // Gated.grid - AHEAD) * Gated.grid
    fade = 3 * Gated.grid // 2  # from the middle of the cell before the one that opens first
    assert not heard[: first - fade].any()
    assert heard[first - fade : first].any()
    np.testing.assert_allclose(separated["vocals"][:, first:], mixture[:, first:] / 2, atol=1e-6)
    assert separated["vocals"].shape == mixture.shape
