"""Segmentation benchmarks in small: files in each published format, written from random blobs."""

import json
from pathlib import Path

import numpy as np
from clip_examples import write_clip
from PIL import Image

from pyratok.evaluation.segmentation_data import SegmentationClip, SegmentationData, SegmentedObject


def blobs(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Bool (T, H, W): a box that wanders, with a ragged edge and here and there a hole."""
    generator = np.random.default_rng(seed)
    masks = np.zeros((frames, height, width), bool)
    top, left = generator.integers(0, max(1, height // 2)), generator.integers(0, max(1, width // 2))
    for frame in range(frames):
        y, x = (top + frame) % height, (left + 2 * frame) % width
        masks[frame, y : y + max(1, height // 2), x : x + max(1, width // 3)] = True
    return masks & (generator.random(masks.shape) < 0.9)


def run_list(mask: np.ndarray) -> list[int]:
    """The run lengths of one frame, bool (H, W), counted pixel by pixel down the columns."""
    counts, current = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != current:
            counts.append(0)
            current = pixel
        counts[-1] += 1
    return counts


def compressed(mask: np.ndarray) -> dict:
    """The entry of one frame with run lengths in a text, as pycocotools writes them."""
    from pycocotools import mask as mask_functions

    encoded = mask_functions.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict:
    """The entry of one frame with run lengths in a list."""
    return {"size": list(mask.shape), "counts": run_list(mask)}


def write_jpegs(folder: Path, frames: np.ndarray, first: int = 0, step: int = 1) -> list[str]:
    """uint8 (T, H, W, 3) as numbered pictures; returns their names, with that of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{first + step * index:05d}.jpg" for index in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        Image.fromarray(frame).save(folder / name, quality=95, subsampling=0)
    return [f"{folder.name}/{name}" for name in names]


def grey_ramps(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 (T, H, W, 3): smooth pictures that survive JPEG."""
    ramp = np.linspace(0, 200, width)[None, None, :, None] + 10 * np.arange(frames)[:, None, None, None]
    return np.broadcast_to(ramp, (frames, height, width, 3)).astype(np.uint8)


class YouTubeVisExample:
    """Two videos, three categories and four objects, one of them a crowd; `document` can be spoilt before `write`."""

    def __init__(self, folder: Path) -> None:
        self.json, self.frames = folder / "instances.json", folder / "JPEGImages"
        sizes = {1: (4, 12, 20), 7: (3, 17, 11)}
        names = {1: write_jpegs(self.frames / "00f88c4f0a", grey_ramps(*sizes[1]), step=5)}
        names[7] = write_jpegs(self.frames / "a1b2", grey_ramps(*sizes[7]))
        self.masks = [blobs(*sizes[video], seed=seed) for seed, video in enumerate((1, 1, 7, 7))]
        self.masks[1][2] = False
        styles = (uncompressed, compressed, compressed, uncompressed)
        self.document = {
            "info": {"description": "made for a test"},
            "licenses": [{}],
            "videos": [
                {"id": video, "width": size[2], "height": size[1], "length": size[0], "file_names": names[video]}
                for video, size in sizes.items()
            ],
            "categories": [
                {"id": 3, "name": "giant_panda", "supercategory": "object"},
                {"id": 9, "name": "Person", "supercategory": "object"},
                {"id": 12, "name": "boat", "supercategory": "object"},
            ],
            "annotations": [
                {
                    "id": index + 1,
                    "video_id": video,
                    "category_id": category,
                    "iscrowd": crowd,
                    "segmentations": [style(frame) if frame.any() else None for frame in masks],
                    "areas": [int(frame.sum()) or None for frame in masks],
                    "bboxes": [None] * len(masks),
                }
                for index, (video, category, crowd, style, masks) in enumerate(
                    zip((1, 1, 7, 7), (3, 9, 9, 3), (0, 0, 0, 1), styles, self.masks, strict=True)
                )
            ],
        }

    def write(self) -> tuple[Path, Path]:
        """The JSON file and the folder of frames."""
        self.json.write_text(json.dumps(self.document))
        return self.json, self.frames


def write_palette(path: Path, numbers: np.ndarray) -> None:
    """uint8 (H, W) as a palette picture, as DAVIS 2017 has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *range(250)])
    picture.save(path)


def write_davis(root: Path, sequences: dict[str, np.ndarray], year: int = 2017) -> Path:
    """Sequences, each uint8 (T, H, W) of pixel values, as a DAVIS folder with a list "val"."""
    for name, numbers in sequences.items():
        write_jpegs(root / "JPEGImages" / "480p" / name, grey_ramps(*numbers.shape))
        for index, frame in enumerate(numbers):
            path = root / "Annotations" / "480p" / name / f"{index:05d}.png"
            if year == 2017:
                write_palette(path, frame)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(path)
    (root / "ImageSets" / str(year)).mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / str(year) / "val.txt").write_text("".join(f"{name}\n" for name in sequences))
    return root


def write_archive(path: Path, masks: np.ndarray) -> None:
    """Bool (T, H, W) as an archive of masks."""
    np.savez_compressed(path, masks=np.packbits(masks, axis=-1), shape=np.array(masks.shape))


def write_archives(folder: Path, lines: list[dict]) -> Path:
    """A folder of mask archives: each line's "masks" and those of its "objects" are arrays, written to files here."""
    folder.mkdir(exist_ok=True)
    written = []
    for line in lines:
        stem = Path(line["file_name"]).stem
        line = dict(line)
        if "objects" in line:
            size = line.pop("size", None) or line["objects"][0]["masks"].shape
            line["objects"] = [dict(item) for item in line["objects"]]
        else:
            size = line["masks"].shape
        for index, item in enumerate(line.get("objects", [line])):
            name = f"{stem}.{index}.masks.npz"
            write_archive(folder / name, item["masks"])
            item["masks"] = name
        write_clip(folder / line["file_name"], grey_ramps(*size))
        written.append(line)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))
    return folder


def made_data(
    folder: Path, clips: dict[str, list[tuple[str, np.ndarray]]], categories: dict[int, str] | None = None
) -> SegmentationData:
    """Data of named masks, (name, bool (T, H, W)) each, whose frames are pictures in `folder`."""
    ids = {name: identity for identity, name in (categories or {}).items()}
    made = []
    for name, objects in clips.items():
        size = objects[0][1].shape
        write_jpegs(folder / name, grey_ramps(*size))
        items = tuple(SegmentedObject(text, ids.get(text), lambda masks=masks: masks) for text, masks in objects)
        made.append(SegmentationClip(name, tuple(sorted((folder / name).iterdir())), size, 24.0, items))
    return SegmentationData(tuple(made), categories or {})
