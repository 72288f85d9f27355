"""The second tab: words to masks over a clip."""

from pathlib import Path
from typing import Any

import gradio as gr
from clip_limits import MAX_TEXT, SESSION_SECONDS
from clip_masks import asked_words, draw_masks
from clip_reading import read_clip
from reconstruction_tab import stored_result
from session_folders import new_folder, remove_folder
from shared_models import IS_BUNDLED, MODEL_WORK, model_lock, shared_models
from shown_errors import shown_errors

from pyratok import VideoTokens, read_video

SUGGESTIONS = ("grass, trees and the sky", "the rabbit on the grass", "city lights and water")


def masks_tab(clip_folder: gr.State) -> None:
    """Build the tab. `clip_folder` holds the folder of the first tab's clip."""
    folder = gr.State(None, time_to_live=SESSION_SECONDS, delete_callback=remove_folder)
    with gr.Row():
        with gr.Column():
            text, coverage, upload, beginning = _question_components()
            button = gr.Button("Draw masks", variant="primary", elem_id="masks-run")
        with gr.Column():
            video = gr.Video(label="Masks", interactive=False, autoplay=True, loop=True, elem_id="masks")
            legend = gr.HTML(elem_id="legend")
    gr.on(
        [button.click, text.submit],
        masks_of_text,
        [text, coverage, upload, beginning, clip_folder, folder],
        [folder, video, legend],
        concurrency_id=MODEL_WORK,
        concurrency_limit=1,
        show_progress_on=[video],
        api_visibility="private",
    )


def _question_components() -> tuple[gr.Textbox, gr.Slider, gr.File, gr.Checkbox]:
    """What to look for, how much of it, and where."""
    text = gr.Textbox(
        label="What to look for",
        placeholder=SUGGESTIONS[0],
        info="A mask for each word that names something.",
        max_length=MAX_TEXT,
        elem_id="masks-text",
    )
    if IS_BUNDLED:
        gr.Examples([[suggestion] for suggestion in SUGGESTIONS], [text], label="For the examples of the first tab")
    coverage = gr.Slider(
        0,
        0.9,
        value=0,
        step=0.05,
        label="Share of the clip that each mask takes",
        info="0: what stands out, by each word's own threshold.",
        elem_id="masks-coverage",
    )
    upload = gr.File(label="Another clip (without one: that of the first tab)", height=160, elem_id="masks-upload")
    beginning = gr.Checkbox(label="Of a longer clip take the beginning")
    return text, coverage, upload, beginning


def masks_of_text(
    text: str,
    coverage: float,
    upload: str | None,
    beginning: bool,
    clip_folder: str | None,
    old_folder: str | None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio looks for this very default)
) -> tuple[str, str, str]:
    """(folder, overlay video, legend as HTML) of a text and a clip. Raises gr.Error with one sentence."""
    with shown_errors():
        words = asked_words(text or "")
        folder = new_folder()
        try:
            progress(0.1, "reading the clip")
            with model_lock:
                frames, tokens = _clip_and_tokens(upload, beginning, clip_folder)
                progress(0.8, "comparing its tokens with the words")
                masks = draw_masks(shared_models().segmentation, frames, tokens, words, float(coverage), folder)
        except BaseException:
            remove_folder(str(folder))
            raise
        remove_folder(old_folder)
        return str(folder), str(masks.video), masks.legend


def _clip_and_tokens(upload: str | None, beginning: bool, clip_folder: str | None) -> tuple[Any, VideoTokens]:
    """Frames uint8 (T, H, W, 3) and tokens: of an upload, or those that the first tab has left.

    Raises TokenFileError if these are another tokenizer's: the alignment would take them, and the masks would be wrong.
    """
    if upload is not None:
        clip = read_clip(upload, beginning)
        return clip.frames, shared_models().segmentation.video_tokens(clip.frames.numpy(), fps=clip.fps)
    result = stored_result(clip_folder)
    tokens = VideoTokens.load(Path(clip_folder) / result.tokens)
    tokens.check_fits(shared_models().tokenizer)
    return read_video(Path(clip_folder) / result.original)[0], tokens
