"""What is heard of a song in which a stem is not everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from unbraid.gating import AHEAD, AROUND, gated
from unbraid.models.presence import FEATURES, Gate

HOP, CELL = 5, 10  # samples

Song = tuple[Tensor, Tensor]  # audio and evidence


class Plain(Gate):
    """Its score is the first feature of the cell itself."""

    def __init__(self) -> None:
        super().__init__(1)

    def scored(self, past: Tensor, cells: Tensor) -> Tensor:
        return cells[0, :1]


def song(*scores: float) -> Song:
    """Ones, and evidence of so many cells, for one target."""
    return of_targets([scores])


def of_targets(scores: list[tuple[float, ...]]) -> Song:
    told = torch.tensor(scores, dtype=torch.float32)
    frames = told.repeat_interleave(CELL // HOP, 1)[:, None].repeat(1, FEATURES, 1)
    return torch.ones(len(told), 2, told.shape[1] * CELL), frames


def gains(whole: Song, block: int = CELL) -> Tensor:
    audio, evidence = whole
    gates = [Plain() for _ in audio]
    blocks = zip(audio.split(block, -1), evidence.split(block // HOP, -1), strict=True)
    heard = torch.cat([*gated(blocks, gates, CELL, HOP)], -1)
    assert heard.shape == audio.shape
    assert (heard[:, 0] == heard[:, 1]).all()
    return heard[:, 0]


def test_an_open_gate_changes_nothing_and_a_shut_one_leaves_nothing() -> None:
    audio, (_, told) = torch.randn(1, 2, 300), song(*[7.0] * 30)
    heard = torch.cat([*gated([(audio, told)], [Plain()], CELL, HOP)], -1)
    torch.testing.assert_close(heard, audio, rtol=0, atol=0)
    assert not gains(song(*[-3.0] * 30)).any()


@pytest.mark.parametrize("block", [HOP, CELL, 25, 1000])
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
    audio, evidence = song(*[5.0] * cells, 5.0)
    samples = cells * CELL + more
    whole = audio[..., :samples], evidence[..., : -(-samples // HOP)]
    assert (gains(whole, 3 * HOP) == 1).all()


@pytest.mark.parametrize("samples", [11, 19, 23])
def test_a_gate_shuts_alike_where_the_song_ends_within_a_cell(samples: int) -> None:
    audio, evidence = whole = song(2, -3, -3, -3, -3)
    cut = audio[..., :samples], evidence[..., : -(-samples // HOP)]
    torch.testing.assert_close(gains(cut), gains(whole)[:, :samples], rtol=0, atol=0)


def test_a_song_without_a_sample() -> None:
    assert list(gated([], [Plain()], CELL, HOP)) == []


def test_what_overlapping_segments_tell_of_a_cell_counts_in_parts() -> None:
    audio, evidence = song(0, 0, 0, 0, 0)
    evidence[..., 4] = 0.8
    (gain,) = gains((audio, evidence))
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

    def endless() -> Iterator[Song]:
        nonlocal taken
        while True:
            taken += 3 * CELL
            yield song(1, 1, 1)

    stream = gated(endless(), [Plain()], CELL, HOP)
    while given < 40 * CELL:
        given += next(stream).shape[-1]
        assert taken - given <= (AHEAD + AROUND + 3) * CELL
