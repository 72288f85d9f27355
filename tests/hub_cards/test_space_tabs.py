"""The handlers of the app's tabs, without a browser: results, errors, and what an attacker would send."""

import re
import tempfile
import threading
from pathlib import Path

import av
import clip_masks
import generation_tab
import gradio as gr
import masks_tab
import pytest
import reconstruction_tab
import torch
from clip_masks import asked_words
from clip_reconstruction import level_steps
from generation_tab import cancelled, checked_wish, generate
from masks_tab import masks_of_text
from reconstruction_files import Reconstruction
from reconstruction_tab import EXAMPLE_NAMES, EXAMPLES, reconstruct_beginning, reconstruct_upload, show_step
from shared_models import shared_models
from shown_errors import UNEXPECTED
from stepwise_generation import Wish, generate_stepwise

from pyratok import PyraTokError, VideoTokens, read_video, write_video
from pyratok.modeling_pyratok.pixel_values import frames_to_values

ATTACK = "<img src=x onerror=alert(1)>"


def quiet(share: float, what: str) -> None:
    """Progress that nobody looks at."""


@pytest.fixture(scope="module", autouse=True)
def temporary_folder(tmp_path_factory):
    """A folder for the visitors of these tests."""
    folder = tmp_path_factory.mktemp("temporary")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def upload(clips, tmp_path_factory) -> Path:
    """Five frames of a real clip, 64 x 36, under the name of an attacker."""
    path = tmp_path_factory.mktemp("upload") / f"{ATTACK}.mp4"
    frames, info = read_video(clips["city"], 5)
    write_video(path, frames[:, ::4, ::4].contiguous(), info.fps)
    return path


@pytest.fixture(scope="module")
def shown(upload) -> list:
    """What a visitor sees of it: the values of all outputs."""
    return reconstruct_upload(str(upload), False, None, quiet)


def test_an_upload_becomes_videos_tokens_and_figures(shown, upload):
    folder, original, reconstruction, slider, figures, download, *maps, _ = shown
    result = Reconstruction.load(Path(folder))
    assert read_video(original)[0].shape == read_video(reconstruction)[0].shape == (5, 36, 64, 3)
    assert [step.levels for step in result.steps] == [(4,), (3, 4), (2, 3, 4), (1, 2, 3, 4)] == level_steps(4)
    assert slider == 4 and [Path(path).exists() for path in maps[1::2]] == [True] * 4
    tokens = VideoTokens.load(Path(folder) / result.tokens)
    tokens.check_fits(shared_models().tokenizer)
    assert tokens.model_id == "pyratok"  # and not a folder of the machine that the app runs on
    assert result.steps[-1].tokens == tokens.num_tokens and f"{tokens.num_tokens:,}" in figures
    assert result.steps[-1].bits_per_pixel == pytest.approx(tokens.bits_per_pixel)
    assert download.value["path"] if isinstance(download.value, dict) else download.value


def test_the_figures_are_those_of_the_model(shown, upload):
    """Encoded and decoded at once, without the app: the same tokens, and the same PSNR of every step."""
    model = shared_models().tokenizer
    values = frames_to_values(read_video(upload)[0])[None]  # (1, T, C, H, W)
    result = Reconstruction.load(Path(shown[0]))
    with torch.no_grad():
        encoded = model.encode(values)
        for step in result.steps:
            decoded = model.decode(encoded.video_codes, video_size=encoded.video_size, levels=step.levels).video_values
            error = ((decoded - values) / 2).double().square().mean()
            assert step.psnr == pytest.approx(-10 * error.log10().item(), abs=1e-3)
    stored = VideoTokens.load(Path(shown[0]) / result.tokens)
    assert all(torch.equal(a, b) for a, b in zip(stored.video_codes, encoded.video_codes, strict=True))


def test_the_slider_shows_what_is_there_and_computes_nothing(shown, monkeypatch):
    monkeypatch.setattr(reconstruction_tab, "shared_models", lambda: pytest.fail("the model was used"))
    videos = [show_step(shown[0], position) for position in (1, 2, 3, 4)]
    assert len(set(videos)) == 4 and all(Path(video).is_file() for video in videos)
    assert videos[3] == shown[2]
    assert (show_step(shown[0], -7), show_step(shown[0], 99)) == (videos[0], videos[3])  # sent by a script


@pytest.mark.parametrize(
    ("name", "size"), [("picture.png", (1, 37, 61)), ("moving.gif", (3, 20, 31)), ("dot.png", (1, 1, 1))]
)
def test_pictures_gifs_and_odd_sizes_are_taken(name, size, clips, tmp_path):
    frames = read_video(clips["bunny"], size[0])[0][:, : size[1], : size[2]]
    write_video(tmp_path / name, frames, 10)
    folder, original, reconstruction, *_ = reconstruct_upload(str(tmp_path / name), False, None, quiet)
    assert read_video(original)[0].shape == read_video(reconstruction)[0].shape == (*size, 3)
    assert VideoTokens.load(Path(folder) / f"{Path(name).stem}.safetensors").video_size == size
    assert masks_of_text("a cloud", 0.5, None, False, folder, None, quiet)[1].endswith(Path(original).suffix)


def test_a_new_clip_takes_the_place_of_the_old_one(upload):
    first = reconstruct_upload(str(upload), False, None, quiet)[0]
    second = reconstruct_upload(str(upload), False, first, quiet)[0]
    assert not Path(first).exists() and Path(second).is_dir()


def test_two_visitors_with_one_clip_have_folders_of_their_own(shown, upload):
    other = reconstruct_upload(str(upload), False, None, quiet)
    assert Path(other[0]) != Path(shown[0]) and Path(shown[0]).is_dir()


def test_the_name_of_an_upload_is_nowhere_but_in_the_harmless_name_of_the_tokens(shown):
    files = sorted(path.name for path in Path(shown[0]).iterdir())
    assert [name for name in files if "onerror" in name] == ["img_src_x_onerror_alert_1.safetensors"]
    assert all("<" not in name for name in files)
    assert "onerror" not in "".join(map(str, [shown[4], *shown[6:-1]]))


def test_what_a_file_says_of_itself_is_nowhere(upload, tmp_path):
    frames = read_video(upload)[0]
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        container.metadata.update(title=ATTACK, comment=ATTACK, artist="../../etc/passwd")
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for frame in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert b"onerror" in (tmp_path / "clip.mp4").read_bytes()
    folder, *outputs = reconstruct_upload(str(tmp_path / "clip.mp4"), False, None, quiet)
    files = list(Path(folder).iterdir())
    assert len(files) == 11 and all(b"onerror" not in path.read_bytes() for path in files)
    assert "onerror" not in "".join(map(str, outputs))


def test_a_failure_leaves_no_folder_and_shows_no_path(upload, temporary_folder, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise RuntimeError(f"a bug in {upload}")

    before = set(temporary_folder.iterdir())
    monkeypatch.setattr(reconstruction_tab, "reconstruct", fail)
    with pytest.raises(gr.Error) as caught:
        reconstruct_upload(str(upload), False, None, quiet)
    assert caught.value.message == UNEXPECTED
    assert "a bug in" in caplog.text  # for whoever runs the app
    assert set(temporary_folder.iterdir()) == before


def test_messages_are_escaped(upload, monkeypatch):
    def fail(*_: object) -> None:
        raise PyraTokError(f"the caption {ATTACK}\nis wrong")

    monkeypatch.setattr(reconstruction_tab, "read_clip", fail)
    with pytest.raises(gr.Error) as caught:
        reconstruct_upload(str(upload), False, None, quiet)
    assert caught.value.message == "the caption &lt;img src=x onerror=alert(1)&gt; is wrong"


def test_the_box_can_be_ticked_before_a_clip_is_there(monkeypatch):
    monkeypatch.setattr(reconstruction_tab, "reconstruct_upload", lambda *_: pytest.fail("there is nothing to do"))
    assert reconstruct_beginning(None, True, None, None, quiet) == gr.skip()
    assert reconstruct_beginning("clip.mp4", False, None, None, quiet) == gr.skip()


def test_a_tick_in_the_box_computes_only_what_was_refused(upload, monkeypatch):
    monkeypatch.setattr(reconstruction_tab, "reconstruct_upload", lambda path, *_: f"{path} is computed")
    taken, refused = str(upload), "refused.mp4"
    assert reconstruct_beginning(taken, True, None, taken, quiet) == gr.skip()
    assert reconstruct_beginning(refused, True, None, taken, quiet) == "refused.mp4 is computed"


def test_what_was_taken_is_told(shown, upload):
    assert shown[-1] == str(upload)


@pytest.mark.parametrize("kind", ["never there", "removed", "emptied"])
def test_files_that_are_gone(kind, tmp_path):
    folder = {"never there": None, "removed": str(tmp_path / "gone"), "emptied": str(tmp_path)}[kind]
    with pytest.raises(gr.Error, match="There is no clip yet, or its files were removed"):
        show_step(folder, 3)
    with pytest.raises(gr.Error, match="There is no clip yet, or its files were removed"):
        masks_of_text("a city", 0, None, False, folder, None, quiet)


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_examples_are_what_the_bundled_model_makes(name, clips):
    """Else `make_examples.py` has to be run again."""
    result = Reconstruction.load(EXAMPLES / name)
    tokens = VideoTokens.load(EXAMPLES / name / result.tokens)
    tokens.check_fits(shared_models().tokenizer)
    assert tokens.model_id == "pyratok"
    files = [result.original, *(step.video for step in result.steps), *(file for file, _ in result.maps)]
    assert all((EXAMPLES / name / file).is_file() for file in files)
    frames = read_video(EXAMPLES / name / result.steps[-1].video)[0]
    assert tuple(frames.shape) == (*tokens.video_size, 3) and len(frames) == len(read_video(clips[name])[0])


def test_masks_over_the_clip_of_the_first_tab_use_its_tokens(shown, monkeypatch):
    monkeypatch.setattr(masks_tab, "read_clip", lambda *_: pytest.fail("a clip was read"))
    folder, video, legend = masks_of_text("the city and its lights", 0.25, None, False, shown[0], None, quiet)
    assert read_video(video)[0].shape == (5, 36, 64, 3)
    shares = [float(share) for share in re.findall(r">(?:city|lights) ([\d.]+)%<", legend)]
    assert shares == pytest.approx([25, 25], abs=1)
    assert Path(folder) != Path(shown[0]) and Path(video).parent == Path(folder)


def test_masks_are_those_of_the_pipeline(upload):
    pipeline = shared_models().segmentation
    _, video, legend = masks_of_text("city lights", 0, str(upload), False, None, None, quiet)
    expected = pipeline(str(upload), "city lights").masks.float().mean(dim=(1, 2, 3))
    assert all(
        f"{word} {share:.1%}<" in legend for word, share in zip(("city", "lights"), expected.tolist(), strict=True)
    )
    changed = (read_video(video)[0].int() - read_video(upload)[0].int()).abs().amax(dim=-1) > 60
    assert changed.any() and not changed.all()


def test_a_legend_is_escaped():
    masks = clip_masks.ClipMasks(Path("x"), (f"{ATTACK}'\"",), (0.5,))
    assert "<img" not in masks.legend and "&lt;img src=x onerror=alert(1)&gt;&#x27;&quot; 50.0%" in masks.legend


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no word that names"),
        ("of the and", "no word that names"),
        ("x" * 301, "301 letters, and the limit is 300"),
    ]
    + [(" ".join(f"word{number}" for number in range(9)), "names 9 things, and the limit is 8")],
)
def test_texts_that_no_mask_can_be_drawn_for(text, message):
    with pytest.raises(PyraTokError, match=message):
        asked_words(text)
    with pytest.raises(gr.Error, match=message):
        masks_of_text(text, 0, None, False, None, None, quiet)


def test_generation_shows_a_preview_after_each_level_and_then_the_tokens(temporary_folder):
    outputs = list(generate("a city at night", 5, "48 x 48", 1, 7, None))
    folder = Path(outputs[0][0])
    previews = [Path(values[2]) for values in outputs if isinstance(values[2], str)]
    assert [path.name for path in previews] == [f"preview_{step}.mp4" for step in (1, 2, 3, 4)]
    assert [len(values[3]) for values in outputs if isinstance(values[3], list)] == [0, 1, 2, 3, 4]
    assert read_video(previews[-1])[0].shape == (5, 240, 240, 3)
    tokens = VideoTokens.load(folder / "generated.safetensors")
    assert tokens.video_size == (5, 48, 48) and tokens.caption == "a city at night"
    expected = shared_models().generation(
        "a city at night", 5, 48, 48, guidance_scale=1.0, fps=8, generator=torch.Generator().manual_seed(7)
    )
    assert tokens == expected.tokens
    assert list(generate("a city", 5, "48 x 48", 1, 7, str(folder)))[0][0] != str(folder) and not folder.exists()


def test_a_generation_that_nobody_waits_for_stops():
    steps = generate_stepwise(shared_models().generation, Wish("a city", 17, 64, 64, 2.0, 0, 8))
    next(news for news in steps if news.level is not None)
    working = [thread for thread in threading.enumerate() if thread.name.startswith("generation")]
    steps.close()
    assert len(working) == 1
    working[0].join(timeout=60)
    assert not working[0].is_alive()


def test_a_cancelled_generation_is_said_to_be_and_a_finished_one_is_not():
    assert cancelled("12% of the tokens are drawn")[0] == "stopped"
    assert cancelled("done: 50 tokens")[0] == "done: 50 tokens"


def test_a_failure_while_generating_is_shown_as_a_sentence(monkeypatch):
    monkeypatch.setattr(generation_tab, "generate_stepwise", lambda *_: (_ for _ in ()).throw(RuntimeError("/secret")))
    with pytest.raises(gr.Error) as caught:
        list(generate("a city", 5, "48 x 48", 1, 0, None))
    assert caught.value.message == UNEXPECTED


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (("  ", 5, "64 x 64", 2, 0), "Write what"),
        (("x" * 301, 5, "64 x 64", 2, 0), "limit is 300"),
        (("a city", 100_000, "64 x 64", 2, 0), "from the lists"),
        (("a city", 5, "9999 x 9999", 2, 0), "from the lists"),
        (("a city", 5, "64 x 64", 1e9, 0), "guidance"),
        (("a city", 5, "64 x 64", float("nan"), 0), "guidance"),
        (("a city", 5, "64 x 64", 2, -1), "seed"),
        (("a city", 5, "64 x 64", 2, None), "seed"),
    ],
)
def test_wishes_that_the_page_does_not_offer_are_refused(wish, message):
    with pytest.raises(gr.Error, match=message):
        checked_wish(*wish)
