"""Official splits of a data set, by the folder of a song and by its name."""

from __future__ import annotations

from collections.abc import Sequence

from unbraid.errors import DataError

SPLITS = ("train", "valid", "test")

VALIDATION = frozenset(  # of MUSDB18 and MUSDB18-HQ, as in `musdb/configs/mus.yaml`
    (
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "ANiMAL - Rockshow",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    )
)


def split_of(folders: Sequence[str], name: str) -> str | None:
    """The split that a song belongs to.

    Args:
        folders: those between the data set's root and the song, from above.
        name: of the song.

    Returns:
        One of `SPLITS` where the first folder is named so, else None. Songs of MUSDB18 that are
        validated on lie in its folder `train`.
    """
    if not folders or folders[0] not in SPLITS:
        return None
    return "valid" if folders[0] == "train" and name in VALIDATION else folders[0]


def check_split(name: str) -> None:
    """Raise a DataError for the name of no split."""
    if name not in SPLITS:
        raise DataError(f"no split {name!r}; splits are: {', '.join(SPLITS)}")
