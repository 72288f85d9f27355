"""Makes docs/images/reconstruction.webp, the picture in the README: `python docs/drawings/reconstruction.py`.

One frame of a clip that the bundled model has not been trained on, and what comes back from all levels and from fewer.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pyratok import PyraTokReconstructionPipeline, read_video

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "fixtures" / "park_ccby20_640x480_17f.mp4"
TARGET = ROOT / "docs" / "images" / "reconstruction.webp"

FRAME = 8
CELL = (480, 360)
LABEL_HEIGHT, GAP = 26, 6


def pictures() -> list[tuple[str, Image.Image]]:
    """Label and picture: the original, then all levels and previews from the coarsest ones."""
    frames, _ = read_video(CLIP)  # uint8 (T, H, W, 3)
    found = [("original", Image.fromarray(frames[FRAME].numpy()))]
    pipeline = PyraTokReconstructionPipeline.from_pretrained("pyratok")
    for levels in ((1, 2, 3, 4), (2, 3, 4), (4,)):
        output = pipeline(CLIP, levels=levels, output_type="pil")
        name = f"levels {levels[0]} to {levels[-1]}" if len(levels) > 1 else f"level {levels[0]} alone"
        found.append((f"{name}: {output.tokens.bits_per_pixel:.3f} bits per pixel", output.frames[0][FRAME]))
    return found


def grid(cells: list[tuple[str, Image.Image]]) -> Image.Image:
    """Two by two, each picture under its label."""
    width, height = CELL[0] + GAP, CELL[1] + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (2 * width + GAP, 2 * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for index, (words, picture) in enumerate(cells):
        left, top = GAP + index % 2 * width, GAP + index // 2 * height
        draw.text((left, top + 3), words, "black", font)
        sheet.paste(picture.resize(CELL, Image.Resampling.LANCZOS), (left, top + LABEL_HEIGHT))
    return sheet


if __name__ == "__main__":
    grid(pictures()).save(TARGET, quality=86, method=6)
