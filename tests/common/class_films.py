"""Folders of classes to tell apart, of films that differ in brightness and, within a class, in length."""

from pathlib import Path

from small_films import moving_square

from pyratok.modeling_pyratok.video_writing import write_video

LABELS = ("square", "dark field")


def write_classes(folder: Path, **splits: int) -> Path:
    """FOLDER/SPLIT/CLASS/0.mp4 and so on, so many of each class."""
    for split, count in splits.items():
        for number in range(count):
            film = moving_square(3 + number, 32, 32)
            for label, is_dark in zip(LABELS, (False, True), strict=True):
                place = folder / split / label
                place.mkdir(parents=True, exist_ok=True)
                write_video(place / f"{number}.mp4", [frame // 9 if is_dark else frame for frame in film], 10)
    return folder
