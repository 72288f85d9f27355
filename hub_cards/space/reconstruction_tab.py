"""The first tab: a clip, its reconstruction beside it, a slider over the levels, the tokens to see and to take along."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from clip_limits import LONGEST_WAIT, SESSION_SECONDS, TAKES
from clip_reading import read_clip
from clip_reconstruction import reconstruct
from figures_table import figures_table
from reconstruction_files import Reconstruction
from session_folders import new_folder, remove_folder, safe_stem
from shared_models import IS_BUNDLED, MODEL_WORK, model_lock, shared_models
from shown_errors import shown, shown_errors

EXAMPLES = Path(__file__).parent / "examples"
EXAMPLE_NAMES = {"park": "people in a park", "bunny": "an animated rabbit", "city": "a city at night"}
"""Folders in `examples/`, which `make_examples.py` wrote, and what they show."""

NO_CLIP = "There is no clip yet, or its files were removed after an hour: drop one" + (
    ", or take an example." if IS_BUNDLED else "."
)


@dataclass(frozen=True)
class _Outputs:
    """What a new clip changes, in the order in which `_shown` gives it."""

    folder: gr.State
    original: gr.Video
    reconstruction: gr.Video
    slider: gr.Slider
    figures: gr.HTML
    tokens: gr.DownloadButton
    maps: list[gr.Markdown | gr.Image]
    """For each level what is written over its token map, and the map."""

    @property
    def all(self) -> list[Any]:
        """As Gradio takes them."""
        *others, maps = vars(self).values()
        return [*others, *maps]


def reconstruction_tab() -> gr.State:
    """Build the tab; returns the state that holds the folder of the visitor's clip."""
    with gr.Row(equal_height=True):
        with gr.Column():
            # No `file_types`: Gradio's own message about a wrong one shows the file's name as HTML. Ours comes from the reader.
            upload = gr.File(label="Drop a clip here", height=160, elem_id="reconstruct-upload")
            beginning = gr.Checkbox(label="Of a longer clip take the beginning", elem_id="reconstruct-beginning")
        with gr.Column():
            gr.Markdown(f"{TAKES} {LONGEST_WAIT}" if IS_BUNDLED else TAKES)
            buttons = _example_buttons() if IS_BUNDLED else {}
    outputs = _output_components()
    taken = gr.State(None)  # the path of the upload that was reconstructed last
    for event, handler, more in (
        (upload.upload, reconstruct_upload, []),
        (beginning.input, reconstruct_beginning, [taken]),
    ):
        event(
            handler,
            [upload, beginning, outputs.folder, *more],
            [*outputs.all, taken],
            concurrency_id=MODEL_WORK,
            concurrency_limit=1,
            api_visibility="private",
            show_progress_on=[outputs.original, outputs.reconstruction],
        )
    for name, button in buttons.items():
        button.click(
            _example_handler(name), [outputs.folder], [*outputs.all, upload], queue=False, api_visibility="private"
        )
    outputs.slider.input(
        show_step,
        [outputs.folder, outputs.slider],
        [outputs.reconstruction],
        queue=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )
    return outputs.folder


def _example_buttons() -> dict[str, gr.Button]:
    """A button for each example, by its name."""
    gr.Markdown("Or look at an example, computed beforehand:")
    with gr.Row():
        return {name: gr.Button(label, size="md") for name, label in EXAMPLE_NAMES.items()}


def _output_components() -> _Outputs:
    """Lay out what a clip turns into."""
    levels = shared_models().tokenizer.config.num_levels
    folder = gr.State(None, time_to_live=SESSION_SECONDS, delete_callback=remove_folder)
    with gr.Row(elem_classes="in-step"):
        original = gr.Video(label="Original", interactive=False, autoplay=True, loop=True, elem_id="original")
        reconstruction = gr.Video(
            label="Reconstruction", interactive=False, autoplay=True, loop=True, elem_id="reconstruction"
        )
    slider = gr.Slider(
        1,
        levels,
        value=levels,
        step=1,
        label="How many levels are decoded",
        info=f"1 is the coarse preview, level {levels} alone; {levels} is the whole picture. Nothing is computed anew.",
        elem_id="levels",
    )
    figures = gr.HTML(elem_id="figures")
    tokens = gr.DownloadButton("Download the token file", interactive=False, elem_id="token-file")
    gr.Markdown("Token maps: a colour for each code, at the first, the middle and the last frame.")
    maps = _token_map_components(levels)
    return _Outputs(folder, original, reconstruction, slider, figures, tokens, maps)


def _token_map_components(levels: int) -> list[gr.Markdown | gr.Image]:
    """A caption and a picture for each level, two levels in a row."""
    maps: list[gr.Markdown | gr.Image] = []
    for first in range(1, levels + 1, 2):
        with gr.Row():
            for level in range(first, min(first + 2, levels + 1)):
                with gr.Column(min_width=300):
                    maps.append(gr.Markdown(f"level {level}"))
                    picture = gr.Image(
                        type="filepath",
                        show_label=False,
                        interactive=False,
                        buttons=["fullscreen"],
                        elem_classes="token-map",
                        alt_text=f"Token map of level {level}",
                    )
                    maps.append(picture)
    return maps


def reconstruct_upload(
    path: str,
    beginning: bool,
    old_folder: str | None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio looks for this very default)
) -> list[Any]:
    """A visitor's file to all outputs, and its path. Raises gr.Error with one sentence."""
    with shown_errors():
        folder = new_folder()
        try:
            with model_lock:  # around the decoding too, which takes memory
                progress(0.0, "reading")
                clip = read_clip(path, beginning)
                result = reconstruct(shared_models().tokenizer, clip, safe_stem(path), folder, progress)
        except BaseException:
            remove_folder(str(folder))
            raise
        remove_folder(old_folder)
        return [*_shown(folder, result), path]


def reconstruct_beginning(
    path: str | None,
    beginning: bool,
    old_folder: str | None,
    taken: str | None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio looks for this very default)
) -> Any:
    """What a tick in the box changes: a clip that was refused is tried again.

    Before a clip is there, beside an example, or if the clip was taken as it is, nothing.
    """
    if path in (None, taken) or not beginning:
        return gr.skip()
    return reconstruct_upload(path, beginning, old_folder, progress)


def stored_result(folder: str | None) -> Reconstruction:
    """What is in a visitor's folder. Raises gr.Error if there is none, or if it was removed."""
    try:
        if folder is not None:
            return Reconstruction.load(Path(folder))
    except FileNotFoundError:
        pass
    raise shown(NO_CLIP)


def _example_handler(name: str) -> Any:
    def show_example(old_folder: str | None) -> list[Any]:
        """The outputs of an example, and no upload any more: a tick in the box shall not bring it back."""
        with shown_errors():
            remove_folder(old_folder)
            return [*_shown(EXAMPLES / name, Reconstruction.load(EXAMPLES / name)), None]

    return show_example


def show_step(folder: str | None, levels: float) -> str:
    """The video of one position of the slider. Raises gr.Error if there is no clip."""
    with shown_errors():
        steps = stored_result(folder).steps
        return str(Path(folder) / steps[min(max(int(levels), 1), len(steps)) - 1].video)


def _shown(folder: Path, result: Reconstruction) -> list[Any]:
    """Values of `_Outputs`."""
    return [
        str(folder),
        str(folder / result.original),
        str(folder / result.steps[-1].video),
        len(result.steps),
        figures_table(result),
        gr.DownloadButton(value=str(folder / result.tokens), interactive=True),
        *(value for name, caption in result.maps for value in (caption, str(folder / name))),
    ]
