"""`pyratok search`: what it prints, draws and writes, what it leaves out, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny_text import byte_tokenizer, tiny_text_model
from typer.testing import CliRunner

from pyratok import (
    PyraTokConfig,
    PyraTokModel,
    PyraTokTextAlignment,
    PyraTokTextAlignmentConfig,
    TokenCollector,
    VideoTokens,
)
from pyratok.commands.app import app
from pyratok.pipelines.hit_pictures import LATEST_FRAME, hit_sheet, preview_frames
from pyratok.pipelines.text_alignment_loading import load_text_alignment
from pyratok.pipelines.token_index import INDEX_NAME, TokenIndex

CAPTIONS = {"one.mp4": "a red square", "sub/two.mp4": "a dog\x1b[31m runs", "still.png": None}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a tiny tokenizer with an alignment and a text encoder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("aligned") / "tiny"
    PyraTokModel(PyraTokConfig.tiny()).save_pretrained(folder)
    PyraTokTextAlignment(PyraTokTextAlignmentConfig.tiny()).save_pretrained(folder / "alignment")
    tiny_text_model().save_pretrained(folder / "text_encoder")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def encoded(model: PyraTokModel, frames: int, caption: str | None, seed: int, size: int = 24) -> VideoTokens:
    """The tokens of a video of noise."""
    values = torch.rand(1, frames, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    collector = TokenCollector(model)
    collector.add(model.encode(values).video_codes, (frames, size, size))
    return collector.tokens(10, "tiny", model.weights_fingerprint(), caption)


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of token files, not to be written to."""
    folder = tmp_path_factory.mktemp("made") / "tokens"
    tokenizer = PyraTokModel.from_pretrained(model).eval()
    for seed, (name, caption) in enumerate(CAPTIONS.items()):
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded(tokenizer, 1 if name == "still.png" else 6, caption, seed, size=24 + 8 * seed).save(path)
    return folder


@pytest.fixture
def tokens(made: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    return Path(shutil.copytree(made, tmp_path / "tokens"))


def rows(text: str) -> list[list[str]]:
    """The lines of the table."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_the_table_has_the_files_in_the_order_of_their_scores(run, model, tokens, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    result = run("search", tokens, "a red  square", "--model", model)
    alignment, encoder = load_text_alignment(model)
    text = F.normalize(encoder(["a red square"]).pooled(), dim=-1)
    scores = {
        name: float(alignment(VideoTokens.load(tokens / f"{name}.safetensors").video_codes, text)) for name in CAPTIONS
    }
    best = sorted(scores, key=lambda name: -scores[name])
    found = rows(result.stdout)
    assert [row[2] for row in found] == [f"{name}.safetensors" for name in best]
    assert [row[0] for row in found] == ["1", "2", "3"]
    assert [float(row[1]) for row in found] == pytest.approx([scores[name] for name in best], abs=1e-4)
    assert {row[2]: row[3] for row in found}["one.mp4.safetensors"] == "0.6"
    assert {row[2]: row[4] for row in found}["sub/two.mp4.safetensors"] == "a dog [31m runs"
    assert "\x1b" not in result.stdout and "a red square in 3 files" in result.stdout and result.stderr == ""
    assert (tokens / INDEX_NAME).is_file()
    assert run("search", tokens, "a red square", "--model", model).stdout == result.stdout


def test_levels_limit_and_json(run, model, tokens, work_folder):
    options = ("--model", model, "--levels", "4,3", "-n", 2, "--json", "hits.json", "--index", "index.safetensors")
    result = run("search", tokens, "a dog", *options)
    record = json.loads((work_folder / "hits.json").read_text())
    tokenizer, (alignment, encoder) = PyraTokModel.from_pretrained(model), load_text_alignment(model)
    index = TokenIndex.build(tokens, alignment, tokenizer.weights_fingerprint(), work_folder / "index.safetensors")
    hits = index.search(encoder(["a dog"]).pooled(), (3, 4), 2)[0]
    assert record["levels"] == [4, 3] and record["files"] == 3 and record["text"] == "a dog"
    assert record["weights_fingerprint"] == tokenizer.weights_fingerprint()
    assert [hit["name"] for hit in record["hits"]] == [hit.name for hit in hits]
    assert [hit["score"] for hit in record["hits"]] == pytest.approx([hit.score for hit in hits])
    assert len(rows(result.stdout)) >= 2 and "wrote hits.json" in result.stdout
    assert not (tokens / INDEX_NAME).exists()


def test_the_sheet_shows_frames_decoded_from_tokens(run, model, tokens, work_folder):
    run("search", tokens, "a dog", "--model", model, "--sheet", "sheet.png")
    sheet = Image.open(work_folder / "sheet.png")
    tokenizer = PyraTokModel.from_pretrained(model).eval()
    run("search", tokens, "a dog", "--model", model, "--json", "hits.json")
    hits = json.loads((work_folder / "hits.json").read_text())["hits"]
    cells = [
        (
            f"{rank}.  {hit['score']:.4f}  {hit['name']}",
            preview_frames(tokenizer, VideoTokens.load(tokens / hit["name"])),
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    expected = hit_sheet(cells)
    assert sheet.size == expected.size and sheet.tobytes() == expected.tobytes()


def test_the_frames_of_a_preview_are_those_of_the_whole_video(model):
    tokenizer = PyraTokModel.from_pretrained(model).eval()
    for frames, wanted in ((1, [0]), (2, [0, 1]), (23, [0, 11]), (2 * LATEST_FRAME + 40, [0, LATEST_FRAME])):
        tokens = encoded(tokenizer, frames, None, seed=1, size=16)
        values = tokenizer.decode(tokens.video_codes, video_size=tokens.video_size, chunk_frames=16).video_values[0]
        expected = ((values[wanted] + 1) * 127.5).round().clamp(0, 255).byte().movedim(1, -1)
        assert torch.equal(torch.stack(preview_frames(tokenizer, tokens)), expected)


def test_a_sheet_holds_frames_of_any_size_and_labels_of_any_length():
    tall, wide = torch.full((700, 10, 3), 255, dtype=torch.uint8), torch.zeros(2, 900, 3, dtype=torch.uint8)
    sheet = hit_sheet([("one", [tall, tall]), ("a very long name " * 20, [wide]), ("three", [tall])])
    assert sheet.width <= 4 * 330 and sheet.height <= 2 * 350
    with pytest.raises(ValueError, match="at least one hit"):
        hit_sheet([])


def test_files_that_are_left_out_are_named_and_counted(run, model, tokens, work_folder):
    whole = (tokens / "one.mp4.safetensors").read_bytes()
    for number in range(12):
        (tokens / f"cut_{number:02}.safetensors").write_bytes(whole[:-5])
    shutil.copy(model / "model.safetensors", tokens)
    one = VideoTokens.load(tokens / "one.mp4.safetensors")
    fields = {name: getattr(one, name) for name in ("video_size", "fps", "level_strides", "codebook_bits", "model_id")}
    coarse = (None, None, *one.video_codes[2:])
    VideoTokens(
        coarse, **fields, weights_fingerprint=one.weights_fingerprint, spatial_multiple=one.spatial_multiple
    ).save(tokens / "coarse.safetensors")
    result = run("search", tokens, "a dog", "--model", model, "--levels", "1,4", "--json", "hits.json")
    said = result.stderr.splitlines()
    assert [line for line in said if line.startswith("left out: cut_00.safetensors: the token file is damaged")]
    assert "left out: 2 more, 12 in all; --json names them" in said
    assert "left out: 1 that lack a level that is asked for: coarse.safetensors" in said
    assert "left out: 1 that are no token files: model.safetensors" in said
    assert "in 3 files" in result.stdout
    record = json.loads((work_folder / "hits.json").read_text())
    assert len(record["left_out"]) == 13 and record["no_token_files"] == ["model.safetensors"]


def test_an_index_that_cannot_be_used_is_said(run, model, tokens):
    (tokens / INDEX_NAME).write_bytes(b"no index")
    result = run("search", tokens, "a dog", "--model", model)
    assert result.stderr.startswith("Warning: the index ") and "is made anew" in result.stderr
    assert run("search", tokens, "a dog", "--model", model).stderr == ""


def test_a_folder_that_cannot_be_written_is_searched_as_well(run, model, tokens, tmp_path, unprivileged_after):
    shutil.copytree(model, tmp_path / "model")
    for path in (tmp_path / "model").rglob("*.safetensors"):
        path.chmod(0o644)
    expected = run("search", tokens, "a dog", "--model", tmp_path / "model").stdout
    (tokens / INDEX_NAME).unlink()
    unprivileged_after(tokens)
    result = run("search", tokens, "a dog", "--model", tmp_path / "model")
    assert result.stdout == expected and "the index is not kept: cannot write" in result.stderr


def test_the_folder_of_a_stage_of_training_serves_as_a_model(run, model, tokens, work_folder):
    stage = work_folder / "stage_2"
    shutil.copytree(model, stage / "model", ignore=shutil.ignore_patterns("alignment"))
    shutil.copytree(model / "alignment", stage / "alignment")
    assert "in 3 files" in run("search", tokens, "a dog", "--model", "stage_2").stdout


def test_bad_input_is_refused_in_one_sentence(refused, model, tokens, tmp_path, films):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    one = VideoTokens.load(tokens / "one.mp4.safetensors")
    fields = {name: getattr(one, name) for name in ("video_size", "fps", "level_strides", "codebook_bits")}
    VideoTokens(one.video_codes, **fields, model_id="theirs", weights_fingerprint="0" * 64).save(
        tmp_path / "other/a.safetensors"
    )

    def asked(*arguments: object) -> str:
        return refused("search", *arguments, "--model", model)

    assert "does not exist" in asked("nowhere", "a dog")
    assert "is a file" in asked(tokens / "one.mp4.safetensors", "a dog")
    assert "pyratok encode VIDEOS" in asked(tmp_path / "empty", "a dog", "--index", tmp_path / "i.safetensors")
    assert "'theirs'" in asked(tmp_path / "other", "a dog", "--index", tmp_path / "i.safetensors")
    assert "is empty" in asked(tokens, "  ")
    assert "takes NAME.png" in asked(tokens, "a dog", "--sheet", "sheet.txt")
    assert "NAME.safetensors" in asked(tokens, "a dog", "--index", "index")
    assert "is no index" in asked(tokens, "a dog", "--index", tokens / "one.mp4.safetensors")
    assert "3,4" in asked(tokens, "a dog", "--levels", "deep")
    assert "1 to 4" in asked(tokens, "a dog", "--levels", "5")
    assert "abacus" in asked(tokens, "a dog", "--device", "abacus")
    assert "folder" in asked(tokens, "a dog", "--json", "nowhere/hits.json")
    assert "there is no model" in refused("search", tokens, "a dog", "--model", "nowhere")


def test_levels_that_no_file_has_are_refused(refused, model, made, tmp_path):
    one = VideoTokens.load(made / "one.mp4.safetensors")
    names = ("video_size", "fps", "level_strides", "codebook_bits", "model_id", "weights_fingerprint")
    fields = {name: getattr(one, name) for name in (*names, "spatial_multiple")}
    (tmp_path / "coarse").mkdir()
    VideoTokens((None, *one.video_codes[1:]), **fields).save(tmp_path / "coarse/a.safetensors")
    said = refused("search", tmp_path / "coarse", "a dog", "--model", model, "-l", "1,2")
    assert "none of the 1 token files" in said and "leave --levels out" in said


def test_a_model_without_an_alignment_says_so(refused, model_folder, tokens):
    assert "has no text alignment" in refused("search", tokens, "a dog", "--model", model_folder)


def test_interrupted_while_indexing_it_leaves_no_half_written_file(model, tokens, work_folder, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyratok.pipelines.token_index.embed_levels", interrupt)
    arguments = ["search", str(tokens), "a dog", "--model", str(model), "--json", "hits.json", "--sheet", "sheet.png"]
    assert CliRunner().invoke(app, arguments).exit_code == 130
    assert list(work_folder.iterdir()) == []
