"""What is heard of a song in which a network is not always sure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from unbraid.certainty import AHEAD, ENOUGH, opened

RATE = 10  # samples a second
BLOCK = 5 * RATE


def song(*certainties: float, targets: int = 1) -> list[Tensor]:
    """Blocks of five seconds of ones, each with its certainty."""
    return [block([certainty] * targets) for certainty in certainties]


def block(certainties: list[float], samples: int = BLOCK) -> Tensor:
    certainty = torch.tensor(certainties)[:, None, None].expand(-1, 1, samples)
    return torch.cat([torch.ones(len(certainties), 2, samples), certainty], dim=1)


def gains(blocks: list[Tensor]) -> Tensor:
    return torch.cat(list(opened(blocks, RATE)), -1)[:, 0]


def test_what_does_not_tell_passes() -> None:
    blocks = [torch.randn(2, 2, BLOCK) for _ in range(3)]
    passed = torch.cat([*opened(blocks, RATE)], -1)
    torch.testing.assert_close(passed, torch.cat(blocks, -1), rtol=0, atol=0)


def test_what_is_never_certain_is_silent_and_as_long() -> None:
    blocks = [*song(*[0.0] * 20), block([0.0], 7)]
    (gain,) = gains(blocks)
    assert len(gain) == 20 * BLOCK + 7
    assert not gain.any()


@pytest.mark.parametrize("seconds", [0.5, 5, 5.1, 45])
def test_a_stem_opens_before_it_is_certain_and_stays_open(seconds: float) -> None:
    whole = torch.cat(song(*[0.0] * 20, 1.0, *[0.0] * 20), -1)
    (gain,) = gains([*whole.split(int(seconds * RATE), -1)])
    first = int(20 * BLOCK - AHEAD * RATE)
    assert not gain[: first - 2 * RATE].any()
    assert (gain[first + 2 * RATE :] == 1).all()
    assert (gain.diff() >= 0).all()
    assert gain.diff().max() < 0.3  # evenly


def test_what_is_certain_from_the_start_is_what_it_was() -> None:
    audio = torch.randn(1, 2, BLOCK)
    first = torch.cat([audio, torch.ones(1, 1, BLOCK)], 1)
    found = torch.cat([*opened([first, *song(0.0, 0.0)], RATE)], -1)
    torch.testing.assert_close(found[..., :BLOCK], audio, rtol=0, atol=0)


def test_half_a_certainty_is_half_the_sound() -> None:
    (gain,) = gains(song(*[0.5] * 30))
    assert (gain == 0.5).all()


def test_a_sound_too_short_to_tell_passes() -> None:
    for samples, heard in ((int(ENOUGH * RATE) - 1, 1), (int(ENOUGH * RATE), 0)):
        (gain,) = gains([block([0.0], samples)])
        assert (gain == heard).all()


def test_each_target_has_its_own_certainty() -> None:
    sung, drums = gains([block([0.0, 1.0]) for _ in range(10)])
    assert not sung.any()
    assert (drums == 1).all()


@pytest.mark.parametrize(("certainty", "most"), [(1.0, BLOCK), (0.0, AHEAD * RATE + BLOCK)])
def test_no_more_is_held_than_is_needed(certainty: float, most: float) -> None:
    taken = given = 0

    def endless() -> Iterator[Tensor]:
        nonlocal taken
        while True:
            taken += BLOCK
            yield block([certainty])

    stream = opened(endless(), RATE)
    while given < 40 * BLOCK:
        given += next(stream).shape[-1]
        assert taken - given < most
