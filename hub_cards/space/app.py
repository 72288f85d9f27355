"""PyraTok to try out: `python app.py`, or as a Space as it is."""

import importlib.util
import os

if importlib.util.find_spec("pyratok") is None:
    raise SystemExit(
        "PyraTok is not installed: in a Space add a line to requirements.txt that says where it comes from (README.md shows "
        'which); elsewhere run `pip install -c constraints.txt ".[space]"` in a clone of its repository.'
    )

# Before Gradio and the Hub's client are imported, which read them once: the app tells nobody that it runs.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from pathlib import Path

import gradio as gr
from clip_limits import MAX_FILE_BYTES, MAX_QUEUE, SESSION_SECONDS
from full_disk import FullDiskRefusal
from generation_tab import generation_tab
from masks_tab import masks_tab
from reconstruction_tab import EXAMPLES, reconstruction_tab
from shared_models import IS_BUNDLED
from starlette.middleware import Middleware

HERE = Path(__file__).parent
INTRODUCTION = """
# PyraTok
A video in, discrete tokens out, the video back: """
ABOUT_THE_BUNDLED_MODEL = """four levels of tokens, from fine to coarse, about 0.2 bits per pixel.
This is the small model that ships with the package.
"""
ABOUT_ANOTHER_MODEL = "several levels of tokens, from fine to coarse.\n"
SYSTEM_FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
"""Those of the visitor's device: nothing is fetched from elsewhere."""

DARKER = {"block_info_text_color": "*neutral_600", "block_label_text_color": "*neutral_700"} | {
    "body_text_color_subdued": "*neutral_600",
    "block_title_text_color": "*neutral_700",
    "input_placeholder_color": "*neutral_500",
}
"""Gradio's greys are too light to read on a phone outdoors."""


SAME_ORIGIN = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Content security policy: the page loads nothing from other hosts. It is no defence against a script that gets into the page:
Gradio's own stand in it, so such scripts have to be allowed."""


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="PyraTok", analytics_enabled=False, delete_cache=(600, SESSION_SECONDS)) as page:
        gr.Markdown(INTRODUCTION + (ABOUT_THE_BUNDLED_MODEL if IS_BUNDLED else ABOUT_ANOTHER_MODEL))
        with gr.Tabs(overflow_behavior="wrap"):  # a menu hides tabs, on a phone of a busy moment even those that fit
            with gr.Tab("Reconstruct", id="reconstruct"):
                clip_folder = reconstruction_tab()
            with gr.Tab("Masks", id="masks"):
                masks_tab(clip_folder)
            with gr.Tab("Generate", id="generate"):
                generation_tab()
    # Without `api_open` the queue and its limits cannot be passed by: outside a Space Gradio lets scripts do that.
    return page.queue(max_size=MAX_QUEUE, default_concurrency_limit=4, api_open=False)


def launch(page: gr.Blocks) -> None:
    """Serve it; where, Gradio's environment variables say (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT)."""
    page.launch(
        allowed_paths=[str(EXAMPLES)],
        max_file_size=MAX_FILE_BYTES,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        app_kwargs={"middleware": [Middleware(FullDiskRefusal)]},
        theme=gr.themes.Default(**SYSTEM_FONTS).set(**DARKER),
        css_paths=HERE / "page.css",
        head=f'<meta http-equiv="Content-Security-Policy" content="{SAME_ORIGIN}">'
        f"<script>{(HERE / 'in_step.js').read_text('utf-8')}</script>",
    )


if __name__ == "__main__":
    launch(build())
