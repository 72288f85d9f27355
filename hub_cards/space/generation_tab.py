"""The third tab: a text to a video, with a preview after each level while it is drawn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from clip_limits import GENERATED_FRAMES, GENERATED_SIZES, MAX_TEXT, SESSION_SECONDS
from PIL import Image
from session_folders import new_folder, remove_folder
from shared_models import IS_BUNDLED, MODEL_WORK, shared_models
from shown_errors import shown, shown_errors
from shown_videos import enlarged, write_shown
from stepwise_generation import News, Wish, generate_stepwise

PROMPTS = ("the rabbit on a green meadow", "a city at night", "the Earth seen from space")
SIZES = {f"{width} x {height}": (height, width) for height, width in GENERATED_SIZES}
LARGEST_SEED = 2**32 - 1
WAITING, DONE, STOPPED = "waiting for the model", "done", "stopped"
"""How the status begins, before and after."""

WHAT_IT_DRAWS = (
    "The small model that ships with PyraTok draws the light and the colours of a scene, and no figures that "
    "one would know."
)

SHOWN_RATE = 8
"""Frames per second: these videos have few."""


def generation_tab() -> None:
    """Build the tab."""
    folder = gr.State(None, time_to_live=SESSION_SECONDS, delete_callback=remove_folder)
    with gr.Row():
        with gr.Column():
            wishes = _wish_components()
            with gr.Row():
                start = gr.Button("Generate", variant="primary", elem_id="generate")
                cancel = gr.Button("Cancel", variant="secondary", interactive=False, elem_id="cancel")
            if IS_BUNDLED:
                gr.Markdown(WHAT_IT_DRAWS)
        with gr.Column():
            outputs = _output_components()
    status, prompt = outputs[0], wishes[0]
    private: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    run = gr.on(
        [start.click, prompt.submit],
        generate,
        [*wishes, folder],
        [folder, *outputs, cancel],
        concurrency_id=MODEL_WORK,
        concurrency_limit=1,
        show_progress="minimal",
        show_progress_on=[status],
        api_visibility="private",
    )
    # After an error, and after a click on Cancel too.
    run.failure(lambda: (STOPPED, gr.Button(interactive=False)), None, [status, cancel], **private)
    cancel.click(None, cancels=[run]).then(cancelled, [status], [status, cancel], **private)


def _wish_components() -> tuple[gr.Textbox, gr.Dropdown, gr.Dropdown, gr.Slider, gr.Number]:
    """Prompt, frames, size, guidance and seed, in the order in which `generate` takes them."""
    prompt = gr.Textbox(label="What the video shows", placeholder=PROMPTS[0], max_length=MAX_TEXT, elem_id="prompt")
    gr.Examples([[text] for text in PROMPTS], [prompt], label="For example")
    with gr.Row():
        frames = gr.Dropdown(list(GENERATED_FRAMES), value=GENERATED_FRAMES[0], label="Frames", elem_id="frames")
        size = gr.Dropdown(list(SIZES), value="64 x 64", label="Pixels", elem_id="size")
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, elem_id="seed")
    guidance = gr.Slider(
        1, 5, value=2, step=0.5, label="Guidance", info="How far to follow the text; 1 does not exaggerate."
    )
    return prompt, frames, size, guidance, seed


def _output_components() -> tuple[gr.Textbox, gr.Video, gr.Gallery, gr.DownloadButton]:
    """Status, video, previews and tokens, in the order in which `generate` gives them, after the folder."""
    return (
        gr.Textbox(label="How far it is", interactive=False, elem_id="status"),
        gr.Video(label="Video, enlarged", interactive=False, autoplay=True, loop=True, elem_id="generated"),
        gr.Gallery(
            label="First frame after each level", columns=4, rows=1, interactive=False, height=190, elem_id="steps"
        ),
        gr.DownloadButton("Download the token file", interactive=False, elem_id="generated-tokens"),
    )


def cancelled(status: str) -> tuple[str, gr.Button]:
    """The status after a click on Cancel, which may have come too late, and the button, which has nothing left to do."""
    return status if status.startswith(DONE) else STOPPED, gr.Button(interactive=False)


def generate(
    prompt: str, frames: int, size: str, guidance: float, seed: float | None, old_folder: str | None
) -> Iterator[list[Any]]:
    """The outputs and the Cancel button, again and again while the video is drawn. Raises gr.Error with one sentence."""
    with shown_errors():
        wish = checked_wish(prompt, frames, size, guidance, seed)
        remove_folder(old_folder)
        folder = new_folder()
        pictures: list[tuple[Image.Image, str]] = []
        yield [str(folder), WAITING, None, [], gr.DownloadButton(interactive=False), gr.Button(interactive=True)]
        for news in generate_stepwise(shared_models().generation, wish):
            yield _told(news, folder, pictures)


def checked_wish(prompt: str, frames: int, size: str, guidance: float, seed: float | None) -> Wish:
    """What a visitor asked for. Raises gr.Error for what the page does not offer, which only a script can send."""
    prompt = (prompt or "").strip()
    if not prompt:
        raise shown("Write what the video shows.")
    if len(prompt) > MAX_TEXT:
        raise shown(f"The text has {len(prompt):,} letters, and the limit is {MAX_TEXT}.")
    if frames not in GENERATED_FRAMES or size not in SIZES:
        raise shown("Choose the number of frames and the size from the lists.")
    if seed is None or not 0 <= seed <= LARGEST_SEED:
        raise shown(f"The seed is a whole number from 0 to {LARGEST_SEED:,}.")
    if not 1 <= guidance <= 5:
        raise shown("The guidance is a number from 1 to 5.")
    height, width = SIZES[size]
    return Wish(prompt, int(frames), height, width, float(guidance), int(seed), SHOWN_RATE)


def _told(news: News, folder: Path, pictures: list[tuple[Image.Image, str]]) -> list[Any]:
    """What a piece of news changes on the page; `pictures` grows by the first frame of each preview."""
    unchanged = [gr.skip(), f"{news.share:.0%} of the tokens are drawn", gr.skip(), gr.skip(), gr.skip(), gr.skip()]
    if news.frames is not None:
        large = enlarged(news.frames)
        name = write_shown(folder, f"preview_{len(pictures) + 1}", large, SHOWN_RATE)
        pictures.append((Image.fromarray(large[0].numpy()), f"level {news.level}"))
        unchanged[2:4] = [str(folder / name), list(pictures)]
    if news.tokens is not None:
        news.tokens.save(folder / "generated.safetensors")
        unchanged[1] = f"{DONE}: {news.tokens.num_tokens:,} tokens"
        unchanged[4] = gr.DownloadButton(value=str(folder / "generated.safetensors"), interactive=True)
        unchanged[5] = gr.Button(interactive=False)
    return unchanged
