"""What is heard of a song in which a stem is not everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from unbraid.gating import AHEAD, AROUND, gated
from unbraid.models.presence import FEATURES, Gate

CELL = 10  # samples


class Plain(Gate):
    """Its score is the first feature of the cell itself."""

    def __init__(self) -> None:
        super().__init__(1)

    def scored(self, past: Tensor, cells: Tensor) -> Tensor:
        return cells[0, :1]


def song(*scores: float) -> Tensor:
    """Ones, and evidence of so many cells, for one target."""
    return of_targets([scores])


def of_targets(scores: list[tuple[float, ...]]) -> Tensor:
    told = torch.tensor(scores).repeat_interleave(CELL, 1)[:, None]
    rest = torch.zeros(len(told), FEATURES - 1, told.shape[-1])
    return torch.cat([torch.ones(len(told), 2, told.shape[-1]), told, rest], 1)


def gains(whole: Tensor, block: int = CELL) -> Tensor:
    gates = [Plain() for _ in whole]
    heard = torch.cat([*gated(whole.split(block, -1), gates, CELL)], -1)
    assert heard.shape == (len(whole), 2, whole.shape[-1])
    assert (heard[:, 0] == heard[:, 1]).all()
    return heard[:, 0]


def test_an_open_gate_changes_nothing_and_a_shut_one_leaves_nothing() -> None:
    audio = torch.randn(1, 2, 300)
    told = torch.cat([audio, song(*[7.0] * 30)[:, 2:]], 1)
    torch.testing.assert_close(
        torch.cat([*gated([told], [Plain()], CELL)], -1), audio, rtol=0, atol=0
    )
    assert not gains(song(*[-3.0] * 30)).any()


@pytest.mark.parametrize("block", [1, 7, CELL, 25, 1000])
def test_a_gate_opens_before_a_voice_begins_and_shuts_after_it_has_ended(block: int) -> None:
    (gain,) = gains(song(-3, -3, -3, 2, -3, -3, -3, 0.5, -3, -3, -3), block)
    assert (gain[25:45] == 1).all()  # the cell itself and half a cell to each side
    assert (gain[:15] == 0).all()
    assert (gain[15:25].diff() > 0).all()
    assert gain[65:85].max() == 0.5
    assert gain.diff().abs().max() < 0.11


@pytest.mark.parametrize("cells", [1, 2, 3, AHEAD, AHEAD + AROUND + 1, 60])
@pytest.mark.parametrize("more", [0, 1, CELL - 1])
def test_songs_of_any_length_come_out_whole(cells: int, more: int) -> None:
    whole = song(*[5.0] * cells, 5.0)[..., : cells * CELL + more]
    assert (gains(whole, 13) == 1).all()


def test_a_song_without_a_sample() -> None:
    assert list(gated([], [Plain()], CELL)) == []


def test_what_overlapping_segments_tell_of_a_cell_counts_in_parts() -> None:
    whole = song(0, 0, 0, 0, 0)
    whole[:, 2, 20:24] = 1.0
    (gain,) = gains(whole)
    assert gain.max() == pytest.approx(0.4)


def test_each_target_has_its_own_gate() -> None:
    sung, drums = gains(of_targets([(-1.0,) * 9, (3.0,) * 9]))
    assert not sung.any()
    assert (drums == 1).all()


def random_gate() -> Gate:
    torch.manual_seed(0)
    gate = Gate(4).eval()
    torch.nn.init.normal_(gate.score.weight)
    return gate


@torch.inference_mode()
def test_cell_by_cell_a_gate_says_what_it_says_of_the_whole_song() -> None:
    gate, evidence = random_gate(), torch.rand(FEATURES, 9) * 2 - 1
    whole, past = gate(evidence[None])[0], None
    for number in range(9):
        past = gate.remembered(evidence[:, number], past)
        torch.testing.assert_close(gate.scored(past, evidence[:, number:].T)[0], whole[number])
    assert whole.std() > 0.05


def test_what_has_been_and_what_is_to_come_are_heard() -> None:
    gate = random_gate()
    evidence = torch.zeros(1, FEATURES, 2 * AHEAD, requires_grad=True)
    gate(evidence)[0, AHEAD].backward()
    assert (evidence.grad[0].abs().sum(0) > 0).all()


def test_no_more_is_held_than_is_needed() -> None:
    taken = given = 0

    def endless() -> Iterator[Tensor]:
        nonlocal taken
        while True:
            taken += 3 * CELL
            yield song(1, 1, 1)

    stream = gated(endless(), [Plain()], CELL)
    while given < 40 * CELL:
        given += next(stream).shape[-1]
        assert taken - given <= (AHEAD + AROUND + 3) * CELL
