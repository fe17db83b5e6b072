from collections.abc import Iterator

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbraid.overlap import crossfaded


def of_samples(blocks: Iterator[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    return [block for (block,) in blocks]


@settings(max_examples=150)
@given(
    samples=st.integers(0, 400),
    segment=st.integers(2, 60),
    part=st.floats(0, 0.5),
    batch_size=st.integers(1, 5),
    block=st.integers(1, 90),
)
def test_identity_is_restored_for_every_length(
    samples: int, segment: int, part: float, batch_size: int, block: int
) -> None:
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    sizes = []

    def process(batch: torch.Tensor) -> list[torch.Tensor]:
        sizes.append(batch.shape)
        return [batch.unsqueeze(1).repeat(1, 3, 1, 1)]

    out = of_samples(
        crossfaded(
            audio.split(block, -1) if samples else [],
            process,
            segment,
            int(part * segment),
            batch_size,
        )
    )
    assert all(shape[0] <= batch_size and shape[1:] == (2, segment) for shape in sizes)
    joined = torch.cat(out, -1) if out else torch.zeros(3, 2, 0)
    torch.testing.assert_close(joined, audio.expand(3, 2, samples), atol=1e-5, rtol=0)


@settings(max_examples=60)
@given(
    samples=st.integers(0, 400),
    frames=st.integers(2, 12),
    faded=st.integers(0, 6),
    each=st.integers(1, 7),
    batch_size=st.integers(1, 5),
)
@example(samples=1, frames=2, faded=0, each=2, batch_size=1)  # ends within its first frame
def test_what_is_told_of_frames_is_joined_as_the_samples_are(
    samples: int, frames: int, faded: int, each: int, batch_size: int
) -> None:
    segment, fade = frames * each, min(faded, frames // 2) * each
    level = iter(range(1, 1000))

    def process(batch: torch.Tensor) -> list[torch.Tensor]:
        told = torch.tensor([float(next(level)) for _ in batch])[:, None, None]
        return [told.expand(-1, 1, segment), told.expand(-1, 2, frames)]

    blocks = [torch.zeros(1, samples)] if samples else []
    parts = list(crossfaded(blocks, process, segment, fade, batch_size))
    for audio, told in parts[:-1]:
        assert audio.shape[-1] == told.shape[-1] * each
    for audio, told in parts:
        means = [frame.mean(-1) for frame in audio[0].split(each)]
        whole = audio.shape[-1] // each
        torch.testing.assert_close(told[0, :whole], torch.stack(means)[:whole])
        assert told.shape == (2, len(means))


def test_borders_are_crossfaded() -> None:
    """Segments of different level join without a step."""
    level = iter(range(1, 100))

    def process(batch: torch.Tensor) -> list[torch.Tensor]:
        return [torch.stack([torch.full((1, 100), float(next(level))) for _ in batch])]

    blocks = of_samples(crossfaded([torch.ones(1, 1000)], process, 100, 50, 3))
    out = torch.cat(blocks, -1)[0]
    assert out[0] == 1
    assert out.diff().abs().max() < 0.05


def test_samples_keep_their_type() -> None:
    """Also in programs whose own tensors are float64, unless they say otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        sound = [torch.ones(1, 300).float()]
        blocks = of_samples(crossfaded(sound, lambda batch: [batch], 100, 50, 1))
    finally:
        torch.set_default_dtype(before)
    assert {block.dtype for block in blocks} == {torch.float32}


def test_memory_is_constant() -> None:
    """Never waits for more than a batch of segments before it gives something back."""
    taken = returned = most = 0

    def blocks():
        nonlocal taken
        for _ in range(200):
            taken += 50
            yield torch.zeros(1, 50)

    for (out,) in crossfaded(blocks(), lambda batch: [batch], 100, 50, 4):
        returned += out.shape[-1]
        most = max(most, taken - returned)
    assert returned == 10000
    assert most <= 100 + 4 * 50 + 50
