"""The order of channels: that of WAV everywhere in here, that of Vorbis inside Ogg files."""

from __future__ import annotations

import numpy as np

from unbraid.audio.info import Block

# By number of channels: which of Vorbis's each of WAV's is. Vorbis I specification, 4.3.9, which
# Opus follows (RFC 7845, 5.1.1.2). The other numbers have the same order in both, or none.
_OF_VORBIS = {
    3: [0, 2, 1],  # Vorbis: front left, centre, right
    5: [0, 2, 1, 3, 4],  # ..., rear left, right
    6: [0, 2, 1, 5, 3, 4],  # ..., rear left, right, LFE
    7: [0, 2, 1, 6, 5, 3, 4],  # ..., side left, right, rear centre, LFE
    8: [0, 2, 1, 7, 5, 6, 3, 4],  # ..., side left, right, rear left, right, LFE
}


def from_vorbis(block: Block) -> Block:
    """The channels of a block `[channels, samples]` in WAV's order, that came in Vorbis's."""
    order = _OF_VORBIS.get(len(block))
    return block if order is None else block[order]


def to_vorbis(block: Block) -> Block:
    """The channels of a block `[channels, samples]` in Vorbis's order, that came in WAV's."""
    order = _OF_VORBIS.get(len(block))
    return block if order is None else block[np.argsort(order)]
