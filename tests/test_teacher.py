"""Targets that are partly a teacher's."""

from pathlib import Path

import pytest
import torch

from training_tree import RATE, scalars, training_tree
from unbraid.errors import ConfigError, ModelError
from unbraid.models import build, checkpoint
from unbraid.training import fit
from unbraid.training.teacher import Teacher, TeacherConfig

SIZES = {"features": 8, "hidden": 8, "blocks": 1, "bands": [[5, 400]]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    checkpoint.save(
        build("bandsplit", **SIZES), path, architecture="bandsplit", licence="CC0 1.0", data="noise"
    )
    return path


@pytest.fixture(scope="module")
def music() -> tuple[torch.Tensor, torch.Tensor]:
    """Mixtures and true targets; that of the second is silent."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(2, 1, 2, RATE, generator=generator)
    truth[1] = 0
    return truth[:, 0] + torch.randn(2, 2, RATE, generator=generator), truth


def taught(file: Path, music: tuple[torch.Tensor, torch.Tensor], **options: float) -> torch.Tensor:
    config = TeacherConfig(str(file), **options)
    return Teacher(config, build("bandsplit", **SIZES).config).targets(*music)


@pytest.mark.parametrize("share", [0.3, 1])
def test_targets_lie_between_truth_and_estimate(file, music, share) -> None:
    mixture, truth = music
    with torch.no_grad():
        estimate = checkpoint.load(file)(mixture)
    expected = truth + share * (estimate - truth)
    targets = taught(file, music, share=share)
    torch.testing.assert_close(targets[0], expected[0], atol=1e-4, rtol=1e-4)
    assert (targets[0] - truth[0]).std() > 0.1
    assert not targets[1].any()  # what is silent stays so


def test_above_its_highest_frequency_the_truth_stands(file, music) -> None:
    difference = taught(file, music, highest=5000)[0] - music[1][0]
    spectrum = torch.fft.rfft(difference).abs()  # a bin a hertz
    assert spectrum[..., 6000:].max() < 1e-3 * spectrum[..., :5000].max()


def test_training_with_a_teacher_names_it_in_the_card(file, tmp_path) -> None:
    tree = training_tree(tmp_path)
    result = fit.run(
        tree / "tiny.yaml",
        [f"run.folder={tmp_path}/runs", f"teacher.model={file}", "run.steps=2"],
    )
    card = checkpoint.read_info(result).data
    sha256 = checkpoint.read_info(file).sha256
    assert card == f"tones and noise; taught by teacher (CC0 1.0; SHA-256 {sha256}), of: noise"


@pytest.mark.parametrize("share", [0.5, 1])
def test_training_learns_what_the_teacher_says(file, tmp_path, share) -> None:
    """To a pupil that is the teacher, the teacher's word alone leaves nothing to learn."""
    tree = training_tree(tmp_path)
    options = ["run.steps=1", f"run.init={file}", "data.augment.silent=0"]
    fit.run(
        tree / "tiny.yaml",
        [f"run.folder={tmp_path}", f"teacher.model={file}", f"teacher.share={share}", *options],
    )
    loss = scalars(tmp_path, "train/epoch_loss")[0]
    assert loss < 1e-5 if share == 1 else loss > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"model": "nowhere"}, ModelError, "no model 'nowhere'"),
        ({"share": 0}, ConfigError, "teacher.share 0"),
        ({"share": 1.5}, ConfigError, "teacher.share 1.5"),
    ],
)
def test_impossible_teachers_are_errors(file, music, options, error, says) -> None:
    with pytest.raises(error, match=says):
        Teacher(
            TeacherConfig(**{"model": str(file), **options}), build("bandsplit", **SIZES).config
        )


def test_a_teacher_of_other_stems_is_an_error(file) -> None:
    pupil = build("bandsplit", targets=["drums"], **SIZES).config
    with pytest.raises(ConfigError, match=r"its targets are \('vocals',\).*'drums'"):
        Teacher(TeacherConfig(str(file)), pupil)
