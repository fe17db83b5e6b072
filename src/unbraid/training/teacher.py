"""Targets that are partly another model's estimates, where the truth alone teaches shortcuts.

Between the voices and the music of a small collection there are differences besides singing, and a
network that is given the truth learns those too. One that was trained on thousands of songs does
not know them: its estimates say how much like a voice a sound is on records.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unbraid.errors import ConfigError
from unbraid.models import checkpoint
from unbraid.training.aims import TeacherConfig

SLOPE = 500.0  # Hz from the teacher alone to the truth alone


class Teacher:
    """A model that is asked, and not trained.

    Args:
        config: which, and how much of it is taken; its `model` is not None.
        pupil: configuration of the network that learns from it.

    Raises:
        ModelError: if there is no such model.
        ConfigError: if it does not estimate what the pupil does.
    """

    def __init__(self, config: TeacherConfig, pupil: Any) -> None:
        assert config.model is not None
        self._config = config
        model: Any = checkpoint.load(config.model)
        theirs, ours = model.config, pupil
        for name in ("targets", "sample_rate"):
            if getattr(theirs, name) != getattr(ours, name):
                raise ConfigError(
                    f"teacher.model {config.model}: its {name} are {getattr(theirs, name)}, but "
                    f"{getattr(ours, name)} are to be learned"
                )
        self._model = model.requires_grad_(False).to(memory_format=torch.channels_last)
        self._rate = float(theirs.sample_rate)

    @torch.no_grad()
    def targets(self, mixture: Tensor, truth: Tensor) -> Tensor:
        """What to learn from a mixture.

        Args:
            mixture: `[b, 2, samples]`.
            truth: the true targets, `[b, targets, 2, samples]`.

        Returns:
            Of the shape of `truth`.
        """
        self._model.to(mixture.device)
        difference = self._model(mixture).float() - truth
        spectrum = torch.fft.rfft(difference)
        frequency = torch.fft.rfftfreq(truth.shape[-1], 1 / self._rate, device=truth.device)
        heard = ((self._config.highest - frequency) / SLOPE + 1).clamp(0, 1)
        change = torch.fft.irfft(self._config.share * heard * spectrum, truth.shape[-1])
        silent = (truth == 0).all(-1).all(-1)[..., None, None]
        return torch.where(silent, truth, truth + change)
