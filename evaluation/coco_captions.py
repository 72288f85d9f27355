"""COCO 2017 (Lin et al., ECCV 2014; captions: Chen et al. 2015): a JSON file of pictures and captions, and the pictures."""

import os

from .annotation_reading import existing_folder, path_inside
from .captioned_files import CaptionedFile, CaptionedFiles
from .json_entries import JsonEntry, read_json_object


def read_coco_captions(annotations: str | os.PathLike[str], pictures: str | os.PathLike[str]) -> CaptionedFiles:
    """The pictures of COCO-val in the order of the file; the caption of a picture is the one of its five with the lowest id.

    Args:
        annotations: captions_val2017.json.
        pictures: the folder val2017.

    Raises:
        PyraTokError: for a file or an entry that is not as it should be, or if no picture is there.
    """
    folder, content = existing_folder(pictures, "the folder of pictures"), read_json_object(annotations)
    captions = _captions(content)
    files, left_out, known = [], {}, set()
    for image in content.entries("images"):
        name, number = image.words("file_name"), image.field("id", int)
        known.add(number)
        path = folder / path_inside(name, image.where)
        if path.is_file():
            files.append(CaptionedFile(path, captions.get(number, (0, ""))[1] or None))
        else:
            left_out[name] = f"it is not in {str(folder)!r}"
    if strangers := captions.keys() - known:
        raise content.problem(f"it has captions of the image {min(strangers)}, and no such image")
    return CaptionedFiles("COCO-val", tuple(files), left_out)


def _captions(content: JsonEntry) -> dict[int, tuple[int, str]]:
    """Id of an image -> the lowest id of its captions, and that caption."""
    captions: dict[int, tuple[int, str]] = {}
    for annotation in content.entries("annotations"):
        image, candidate = (
            annotation.field("image_id", int),
            (annotation.field("id", int), annotation.field("caption", str).strip()),
        )
        captions[image] = min(candidate, captions.get(image, candidate))
    return captions
