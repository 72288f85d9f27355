"""The linear probe: it learns, it is scikit-learn's, and it stands by itself once it is saved."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pyratok.evaluation.linear_probe import LinearProbe, fit_linear_probe
from pyratok.modeling_pyratok.errors import PyraTokError

LABELS = ("archery", "cliff diving", "judo")


def clusters(labels: tuple[str, ...], count: int, seed: int, dim: int = 6) -> tuple[torch.Tensor, list[str]]:
    """Features around one point for each label, on very different scales, one of them constant."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(len(labels), dim, generator=torch.Generator().manual_seed(0)) * 2
    names = [label for label in labels for _ in range(count)]
    rows = centers.repeat_interleave(count, 0) + torch.randn(len(names), dim, generator=generator)
    rows = rows * torch.logspace(-3, 3, dim)
    rows[:, 2] = 7.0
    return rows, names


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
def test_learns_what_is_linear(labels):
    probe = fit_linear_probe(*clusters(labels, 12, seed=1), seed=0)
    features, truth = clusters(labels, 12, seed=2)
    scores = probe.scores(features)
    assert scores.shape == (len(truth), len(labels)) and scores.dtype == torch.float64
    assert torch.allclose(scores.sum(1), torch.ones(len(truth), dtype=torch.float64))
    right = [probe.classes[index] == label for index, label in zip(scores.argmax(1), truth, strict=True)]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_equals_what_scikit_learn_chooses_by_itself(labels, noise):
    """Its own search over the same candidates and folds: the same choice, the same probabilities."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, names = clusters(labels, 12, seed=1)
    features = (
        features + noise * features.std(0) * torch.randn(features.shape, generator=torch.Generator().manual_seed(5))
    )[7:]
    names = names[7:]  # uneven, so that the strongest regularisation answers with the larger class
    probe = fit_linear_probe(features, names, seed=3)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    candidates = {"logisticregression__C": [10.0**power for power in range(-4, 3)]}
    search = GridSearchCV(model, candidates, cv=StratifiedKFold(5, shuffle=True, random_state=3))
    search.fit(features.double().numpy(), names)
    assert noise or search.best_params_["logisticregression__C"] > 1e-4
    expected = search.predict_proba(features.double().numpy())
    assert probe.scores(features).numpy() == pytest.approx(expected, abs=1e-6)
    assert probe.classes == tuple(search.classes_)


def test_the_same_seed_gives_the_same_probe():
    features, names = clusters(LABELS, 5, seed=1)
    first, second = (fit_linear_probe(features, names, seed=7) for _ in range(2))
    assert torch.equal(first.scores(features), second.scores(features))


def test_a_class_of_one_video_is_learnt_too():
    features, names = clusters(LABELS, 6, seed=1)
    probe = fit_linear_probe(features[:-5], names[:-5], seed=0)
    assert probe.classes == LABELS


def test_scores_are_the_same_after_saving_and_loading(tmp_path):
    features, names = clusters(LABELS, 6, seed=1)
    probe = fit_linear_probe(features, names, seed=0)
    path = tmp_path / "probe.safetensors"
    probe.save(path)
    loaded = LinearProbe.load(path)
    assert loaded.classes == LABELS
    assert torch.equal(loaded.scores(features), probe.scores(features))
    assert torch.equal(loaded.scores(features.numpy()), probe.scores(features))
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    assert (loaded.levels, loaded.fingerprint) == (None, None)
    dataclasses.replace(probe, levels=(1, 3), fingerprint="ab").save(path)
    assert (LinearProbe.load(path).levels, LinearProbe.load(path).fingerprint) == ((1, 3), "ab")


def test_a_loaded_probe_does_not_need_scikit_learn(probe_file, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert LinearProbe.load(probe_file).scores(torch.zeros(2, 6)).shape == (2, 3)
    with pytest.raises(PyraTokError, match=r"needs sklearn\S* which is not installed; .* extra `evaluate`"):
        fit_linear_probe(torch.randn(4, 2), ["judo", "judo", "archery", "archery"], seed=0)


@pytest.fixture
def probe_file(tmp_path):
    features, names = clusters(LABELS, 4, seed=1)
    path = tmp_path / "probe.safetensors"
    fit_linear_probe(features, names, seed=0).save(path)
    return path


def metadata_of(classes: object, version: object = 1, **more: object) -> dict[str, str]:
    return {"pyratok_linear_probe": json.dumps({"version": version, "classes": classes, **more})}


def test_damaged_files_are_refused(tmp_path, probe_file):
    with pytest.raises(PyraTokError, match="cannot read the linear probe .*none.safetensors"):
        LinearProbe.load(tmp_path / "none.safetensors")
    whole = probe_file.read_bytes()
    for content in (b"", whole[:-1], whole[:40], b"no safetensors at all"):
        probe_file.write_bytes(content)
        with pytest.raises(PyraTokError, match="is no linear probe, or is damaged"):
            LinearProbe.load(probe_file)


@pytest.mark.parametrize(
    ("change", "metadata", "reason"),
    [
        ({}, None, "it has no metadata of one"),
        ({}, {"pyratok_linear_probe": "{"}, "is damaged"),
        ({}, metadata_of("abc"), "no list of classes"),
        ({}, metadata_of(list(LABELS), version=2), "its version is 2"),
        ({}, metadata_of(list(LABELS), levels=[]), "its levels are"),
        ({}, metadata_of(list(LABELS), levels=[1, "2"]), "its levels are"),
        ({}, metadata_of(list(LABELS), fingerprint=7), "its fingerprint is 7"),
        ({}, metadata_of(["a", "a", "b"]), "each once"),
        ({}, metadata_of(["a", "b"]), "weight must be finite float64"),
        ({"extra": torch.zeros(1)}, metadata_of(list(LABELS)), "its tensors must be"),
        ({"bias": torch.zeros(3)}, metadata_of(list(LABELS)), "bias must be finite float64"),
        ({"mean": torch.zeros(2, 3).double()}, metadata_of(list(LABELS)), "mean must be finite float64"),
        ({"bias": torch.full((3,), torch.nan).double()}, metadata_of(list(LABELS)), "bias must be finite float64"),
        ({"scale": torch.zeros(6).double()}, metadata_of(list(LABELS)), "scale must be positive"),
    ],
)
def test_files_with_other_contents_are_refused(probe_file, change, metadata, reason):
    save_file({**load_file(probe_file), **change}, probe_file, metadata)
    with pytest.raises(PyraTokError, match=reason):
        LinearProbe.load(probe_file)


def test_too_little_to_fit_and_wrong_calls_are_refused(probe_file):
    with pytest.raises(PyraTokError, match="two classes or more"):
        fit_linear_probe(torch.randn(4, 3), ["judo"] * 4, seed=0)
    with pytest.raises(PyraTokError, match="two videos or more of one of them; got 2 videos of 2"):
        fit_linear_probe(torch.randn(2, 3), ["judo", "archery"], seed=0)
    for features in (torch.randn(3, 2), torch.randn(4), torch.full((4, 2), torch.nan), torch.randn(4, 0)):
        with pytest.raises(ValueError, match=r"features must be finite \(4, D\)"):
            fit_linear_probe(features, ["judo", "judo", "archery", "archery"], seed=0)
    with pytest.raises(ValueError, match=r"features must be \(N, 6\), got \(2, 5\)"):
        LinearProbe.load(probe_file).scores(torch.zeros(2, 5))
