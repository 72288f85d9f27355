"""Draws docs/images/architecture.svg, the picture on the page about the architecture: `python docs/drawings/architecture.py`.

Plain shapes and text on a white card, so that it looks the same on light and dark pages and wherever SVG is shown.
"""

from html import escape
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "images" / "architecture.svg"
WIDTH, HEIGHT = 1080, 760

INK, QUIET = "#1f2933", "#5b6770"
BACKBONE, LEARNED, BITS, LANGUAGE = "#dbe4ee", "#d9efe3", "#fdeab8", "#ecdff3"
"""Fills: of the VAE, of what PyraTok adds, of tokens, of what deals with text."""

ROWS = (110, 215, 320, 425)
"""Middle of each level's row, level 1 on top."""


def box(x: float, y: float, width: float, height: float, fill: str, *lines: str) -> str:
    """A rounded box around (x, y), its middle, with lines of text: the first one larger than the others."""
    parts = [
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="7" '
        f'fill="{fill}" stroke="{QUIET}"/>'
    ]
    top = y - 8 * (len(lines) - 1) + 4.5
    for index, line in enumerate(lines):
        parts.append(label(x, top + 16 * index, line, size=14 if index == 0 else 12, color=QUIET if index else INK))
    return "".join(parts)


def label(x: float, y: float, words: str, size: int = 12, color: str = QUIET, anchor: str = "middle") -> str:
    """A line of text on the baseline y."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{color}" text-anchor="{anchor}">{escape(words)}</text>'


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """A line through the points with a head at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#head)"{dash}/>'


def plus(x: float, y: float) -> str:
    """A circle where two paths are added."""
    return (
        f'<circle cx="{x}" cy="{y}" r="9" fill="white" stroke="{INK}"/>'
        f'<path d="M{x - 5},{y}h10M{x},{y - 5}v10" stroke="{INK}"/>'
    )


def encoder() -> list[str]:
    """The left column: the stages, from the video down to the mid block."""
    stages = (
        ("encoder stage 1", "160 channels, 1 x 4"),
        ("encoder stage 2", "320 channels, 2 x 8"),
        ("encoder stage 3", "640 channels, 4 x 16"),
        ("stage 4: mid block", "640 channels, 4 x 16"),
    )
    parts = [box(105, 35, 150, 34, "white", "video, 1 x 1"), arrow((105, 52), (105, ROWS[0] - 27))]
    for y, lines in zip(ROWS, stages, strict=True):
        parts += [box(105, y, 160, 50, BACKBONE, *lines)]
        if y != ROWS[-1]:
            parts.append(arrow((105, y + 25), (105, y + 78)))
    return parts


def pyramid() -> list[str]:
    """The rows in the middle, a LaPQ block for each level, and the feedback between them."""
    parts = [label(232, 68, "lateral"), label(387, 68, "attention"), label(478, 68, "fusion"), label(594, 68, "bits")]
    for level, (y, grid) in enumerate(zip(ROWS, ("4 x 8", "4 x 8", "4 x 16", "4 x 16"), strict=True), start=1):
        parts += [
            arrow((185, y), (200, y)),
            box(232, y, 60, 44, LEARNED, "to grid", grid),
            *([arrow((262, y), (291, y)), arrow((309, y), (338, y))] if level > 1 else [arrow((262, y), (338, y))]),
            box(387, y, 94, 44, LANGUAGE, "to the text"),
            arrow((434, y), (446, y)),
            box(478, y, 60, 44, LEARNED, "MLP"),
            arrow((508, y), (538, y)),
            box(594, y, 108, 44, BITS, f"q({level}) = sign u", f"16 bits per {grid}"),
        ]
        if level > 1:
            above = ROWS[level - 2]
            parts.append(arrow((594, above + 22), (594, above + 47), (300, above + 47), (300, y - 10)))
            parts += [plus(300, y), label(490, above + 42, "feedback")]
    return parts


def decoder() -> list[str]:
    """The right side: the shared projection, fusion to the latent, and the laterals into the decoder."""
    x, bar = 970, 700
    parts = [
        f'<rect x="{bar - 17}" y="{ROWS[0] - 30}" width="34" height="{ROWS[3] - ROWS[0] + 60}" rx="7" '
        f'fill="{LEARNED}" stroke="{QUIET}"/>',
        f'<text transform="translate({bar + 5},{(ROWS[0] + ROWS[3]) / 2}) rotate(-90)" font-size="14" fill="{INK}" '
        'text-anchor="middle">shared codebook projection</text>',
        *(arrow((648, y), (bar - 18, y)) for y in ROWS),
        box(810, ROWS[3], 110, 50, LEARNED, "level fusion", "to 48 channels"),
        *(arrow((bar + 17, y), (738, y), (738, ROWS[3] - 12), (754, ROWS[3] - 12)) for y in ROWS[:3]),
        arrow((bar + 17, ROWS[3]), (754, ROWS[3])),
        label(828, ROWS[2] + 65, "(a) all levels", size=12),
        arrow((865, ROWS[3]), (x - 72, ROWS[3])),
        box(x, ROWS[3], 140, 50, BACKBONE, "latent z", "4 x 16"),
        arrow((x, ROWS[3] - 25), (x, ROWS[2] + 27)),
        box(x, ROWS[2], 140, 50, BACKBONE, "mid block", "1024 channels, 4 x 16"),
        arrow((x, ROWS[2] - 25), (x, ROWS[1] + 27)),
        box(x, ROWS[1], 140, 50, BACKBONE, "up block 1", "1024 channels, 2 x 8"),
        arrow((x, ROWS[1] - 25), (x, ROWS[0] + 27)),
        box(x, ROWS[0], 140, 50, BACKBONE, "up blocks 2 to 4", "to 1 x 2 and pixels"),
        arrow((x, ROWS[0] - 25), (x, 53)),
        box(x, 35, 150, 34, "white", "video, 1 x 1"),
        arrow((bar + 17, ROWS[0] - 10), (x - 125, ROWS[0] - 10), (x - 125, ROWS[1] - 8), (x - 71, ROWS[1] - 8)),
        arrow((bar + 17, ROWS[1] + 8), (x - 71, ROWS[1] + 8)),
        label(790, ROWS[0] - 18, "(b) laterals of fine levels"),
    ]
    return parts


def language() -> list[str]:
    """The bottom: where the text comes from, and what reads tokens."""
    y, row = 545, 655
    parts = [
        box(105, y, 160, 50, "white", "caption"),
        arrow((185, y), (248, y)),
        box(330, y, 160, 50, LANGUAGE, "text encoder, frozen", "Qwen2.5-VL-3B: 2048"),
        arrow((387, y - 25), (387, ROWS[3] + 23)),
        *(arrow((387, above + 66), (387, above + 23), dashed=True) for above in ROWS[:3]),
        label(397, y - 55, "e_t, to every level", anchor="start"),
        label(594, ROWS[3] + 52, "tokens"),
        arrow((594, ROWS[3] + 58), (594, row - 75), (330, row - 75), (330, row - 32)),
        arrow((594, row - 75), (620, row - 75), (620, row - 32)),
        arrow((594, row - 75), (910, row - 75), (910, row - 32)),
        box(330, row, 250, 60, LANGUAGE, "prior", "p(tokens | text): draws, scores, L_AR"),
        box(620, row, 250, 60, LANGUAGE, "text alignment", "places and captions in one space"),
        box(910, row, 250, 60, LANGUAGE, "projector", "tokens for a language model to read"),
    ]
    return parts


def legend() -> list[str]:
    """What the colours and the numbers mean."""
    entries = ((BACKBONE, "the VAE"), (LEARNED, "added by PyraTok"), (BITS, "tokens"), (LANGUAGE, "text"))
    parts = []
    for index, (fill, words) in enumerate(entries):
        x = 40 + 150 * index
        parts.append(f'<rect x="{x}" y="722" width="16" height="16" rx="3" fill="{fill}" stroke="{QUIET}"/>')
        parts.append(label(x + 24, 735, words, anchor="start"))
    parts.append(label(1040, 735, "t x s: one position for t frames and s x s pixels (full-size model)", anchor="end"))
    return parts


def drawing() -> str:
    """The whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="Helvetica, Arial, sans-serif">'
        "<title>The architecture of PyraTok</title>"
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
        f'<path d="M0,0L7,3L0,6z" fill="{INK}"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="white"/>'
    )
    parts = [*encoder(), *pyramid(), *decoder(), *language(), *legend()]
    return "\n".join([head, *parts, "</svg>\n"])


if __name__ == "__main__":
    TARGET.write_text(drawing(), "utf-8")
