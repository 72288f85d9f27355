"""What the app takes, in one place: a visitor's clip is refused before it costs memory or minutes.

MAX_FRAMES x WORK_PIXELS is what a clip may cost; it cannot be cancelled while it is computed.
"""

MAX_FILE_BYTES = 50 * 2**20
"""Of an upload."""

MIN_FREE_BYTES = 2 * 2**30
"""Of the disk: with less, uploads are refused."""

MAX_SECONDS = 4.0
"""Of a clip. A longer one is refused, or its beginning is taken if the visitor asks for that."""

MAX_FRAMES = 96
"""Of a clip, or of the beginning that is taken."""

MAX_FRAME_PIXELS = 4096 * 2304
"""Rows x columns of a frame that is decoded at all."""

WORK_PIXELS = 256 * 144
"""Rows x columns that the tokenizer works on here: larger frames are scaled down to about this."""

MAX_TEXT = 300
"""Letters of a text."""

MAX_WORDS = 8
"""Masks for one text."""

MAX_QUEUE = 20
"""Visitors who wait."""

SESSION_SECONDS = 3600
"""How long a visitor's files are kept."""

GENERATED_FRAMES = (5, 9, 17)
GENERATED_SIZES = ((48, 48), (64, 64), (64, 96))
"""(height, width), in pixels."""

TAKES = (
    f"Videos, gifs and pictures up to {MAX_FILE_BYTES // 2**20} MB, {MAX_SECONDS:g} seconds and {MAX_FRAMES} frames; "
    f"frames of more than {WORK_PIXELS:,} pixels are scaled down."
)
"""The limits, as the page says them."""

LONGEST_WAIT = "The longest clip takes up to a minute on two cores."
"""Of the bundled model."""
