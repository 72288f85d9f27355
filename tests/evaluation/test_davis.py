"""DAVIS folders of both years: objects, names and void come out, and what does not fit is named."""

import numpy as np
import pytest
from PIL import Image
from segmentation_examples import blobs, grey_ramps, write_davis, write_jpegs, write_palette

from pyratok import PyraTokError
from pyratok.evaluation.davis import read_davis

SIZE = (3, 13, 18)


def numbered(*numbers: int, seed: int = 0) -> np.ndarray:
    """uint8 (T, H, W): 0, and a blob of each number over those before it."""
    pixels = np.zeros(SIZE, np.uint8)
    for index, number in enumerate(numbers):
        pixels[blobs(*SIZE, seed=seed + index)] = number
    return pixels


@pytest.fixture
def sequences() -> dict[str, np.ndarray]:
    return {"dogs-jump": numbered(1, 2, 3), "bike-packing2": numbered(1, 255, seed=5)}


def test_of_2017_every_number_is_an_object_and_255_is_void(tmp_path, sequences):
    data = read_davis(write_davis(tmp_path, sequences))
    assert [clip.name for clip in data.clips] == ["dogs-jump", "bike-packing2"]
    assert data.categories == {}
    for clip, numbers, count in zip(data.clips, sequences.values(), (3, 1), strict=True):
        assert clip.size == SIZE
        assert clip.frames_per_second == 24
        assert clip.frames().shape == (*SIZE, 3)
        assert len(clip.objects) == count
        for number, item in enumerate(clip.objects, start=1):
            assert item.category_id is None
            assert np.array_equal(item.masks(), numbers == number)
    assert data.clips[0].void() is None
    assert np.array_equal(data.clips[1].void(), sequences["bike-packing2"] == 255)


def test_an_object_that_comes_late_is_one_too(tmp_path):
    numbers = numbered(2)
    numbers[2, 0, 0] = 7
    (clip,) = read_davis(write_davis(tmp_path, {"a": numbers})).clips
    assert [int(item.masks().sum()) for item in clip.objects] == [(numbers == 2).sum(), 1]


def test_without_expressions_objects_are_called_by_their_sequence(tmp_path, sequences):
    clips = read_davis(write_davis(tmp_path, sequences)).clips
    assert [[item.name for item in clip.objects] for clip in clips] == [["dogs jump"] * 3, ["bike packing"]]


def test_expressions_name_the_objects(tmp_path, sequences):
    expressions = tmp_path / "Davis17_annot1.txt"
    expressions.write_text(
        'bike-packing2 1 "a man in "blue""\n\ndogs-jump 2 "the dog"\r\ndogs-jump 1 a boy\n'
        'dogs-jump 3 "caf\xe9"\nelsewhere 1 "a cat"\n',
        "latin-1",
    )
    clips = read_davis(write_davis(tmp_path, sequences), expressions=expressions).clips
    assert [[item.name for item in clip.objects] for clip in clips] == [
        ["a boy", "the dog", "caf\xe9"],
        ['a man in "blue"'],
    ]


def test_sequences_that_the_published_expressions_spell_otherwise_are_found(tmp_path):
    expressions = tmp_path / "e.txt"
    expressions.write_text('clasic-car 1 "the old car"\n')
    (clip,) = read_davis(write_davis(tmp_path, {"classic-car": numbered(1)}), expressions=expressions).clips
    assert clip.objects[0].name == "the old car"


@pytest.mark.parametrize(
    "text, message",
    [
        ('dogs-jump 1 "a"\ndogs-jump 2 "b"\n', "no expression for object 3 of the sequence 'dogs-jump'"),
        ('dogs-jump 1 "a"\ndogs-jump 1 "b"\n', "line 2: object 1 of 'dogs-jump' has an expression before it"),
        ('dogs-jump 1 "a"\ndogs-jump one "b"\n', 'line 2: sequence number "expression" is needed, got .*one'),
        ('dogs-jump 1 ""\n', "line 1: sequence number"),
        ("".join(f'dogs-jump {n} "x"\n' for n in (1, 2, 3, 4)), "line 4: the sequence 'dogs-jump' has no object 4"),
    ],
)
def test_wrong_expressions_are_named_with_their_line(tmp_path, sequences, text, message):
    (tmp_path / "expressions.txt").write_text(text)
    root = write_davis(tmp_path, sequences)
    with pytest.raises(PyraTokError, match=f"expressions.txt'.*{message}"):
        read_davis(root, expressions=tmp_path / "expressions.txt")


def test_of_2016_all_that_is_not_black_is_the_one_object(tmp_path):
    masks = {name: blobs(*SIZE, seed=seed) for seed, name in enumerate(("grey", "palette", "colour", "alpha"))}
    root = write_davis(tmp_path, {name: 255 * mask.astype(np.uint8) for name, mask in masks.items()}, year=2016)
    for frame in range(3):
        path = root / "Annotations" / "480p"
        write_palette(path / "palette" / f"{frame:05d}.png", masks["palette"][frame] * np.uint8(frame + 1))
        colours = np.repeat(255 * masks["colour"][frame, ..., None].astype(np.uint8), 3, axis=-1)
        Image.fromarray(colours).save(path / "colour" / f"{frame:05d}.png")
        grey = Image.fromarray(255 * masks["alpha"][frame].astype(np.uint8))
        Image.merge("LA", (grey, Image.new("L", grey.size, 255))).save(path / "alpha" / f"{frame:05d}.png")
    for clip in read_davis(root, year=2016).clips:
        assert np.array_equal(clip.objects[0].masks(), masks[clip.name])
        assert clip.void() is None


def test_the_lists_of_the_first_release_are_read(tmp_path):
    root = write_davis(tmp_path, {"b-1": 255 * numbered(1), "a": 255 * numbered(1)}, year=2016)
    (root / "ImageSets" / "2016" / "val.txt").unlink()
    (root / "ImageSets" / "480p").mkdir()
    lines = (
        f"/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png \n"
        for name in ("b-1", "a")
        for index in range(3)
    )
    (root / "ImageSets" / "480p" / "val.txt").write_text("".join(lines))
    assert [clip.name for clip in read_davis(root, year=2016).clips] == ["b-1", "a"]


def test_what_does_not_fit_is_named(tmp_path, sequences):
    root = write_davis(tmp_path, sequences)
    annotations, frames = (root / name / "480p" / "dogs-jump" for name in ("Annotations", "JPEGImages"))

    def refused(message: str, **options) -> None:
        with pytest.raises(PyraTokError, match=message):
            read_davis(root, **options)

    refused("no list of sequences .*ImageSets/2017/test.txt'", split="test")
    refused("no list of sequences .*2016/val.txt' or .*480p/val.txt'", year=2016)
    refused("JPEGImages/1080p/dogs-jump' cannot be read: no such file", resolution="1080p")
    with pytest.raises(ValueError, match="year must be 2016 or 2017, got 2018"):
        read_davis(root, year=2018)
    Image.new("P", (18, 12)).save(annotations / "00001.png")
    refused(r"dogs-jump/00001.png': \(height, width\) is \(12, 18\), .* \(13, 18\)")
    Image.new("RGB", (18, 13)).save(annotations / "00001.png")
    refused("dogs-jump/00001.png' must be a grey or palette picture of 8 bits, but is RGB")
    (annotations / "00001.png").write_bytes((annotations / "00000.png").read_bytes()[:60])
    refused("dogs-jump/00001.png' is no picture that can be read")
    (annotations / "00001.png").unlink()
    refused("Annotations/480p/dogs-jump' has no annotation for the frame '00001'")
    (frames / "00001.jpg").unlink()
    (frames / "00002.jpg").unlink()
    refused("JPEGImages/480p/dogs-jump' has no frame for the annotation '00002'")
    (root / "ImageSets" / "2017" / "val.txt").write_text("dogs-jump\n\na b c\n")
    refused("val.txt', line 3: the name of a sequence is needed, got 'a b c'")
    (root / "ImageSets" / "2017" / "val.txt").write_text("dogs-jump\n\ndogs-jump\n")
    refused("val.txt', line 3: the sequence 'dogs-jump' is listed twice")
    (root / "ImageSets" / "2017" / "val.txt").write_text("../dogs-jump\n")
    refused("val.txt', line 1: the name of a sequence")
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n")
    refused("val.txt' lists no sequence")


def test_pictures_of_2016_under_2017_are_told_apart_and_so_is_a_sequence_without_objects(tmp_path):
    with pytest.raises(PyraTokError, match="Annotations/480p/a' hold nothing but 0 and 255.*year=2016"):
        read_davis(write_davis(tmp_path / "one", {"a": np.where(numbered(1) == 1, 255, 0).astype(np.uint8)}))
    with pytest.raises(PyraTokError, match="Annotations/480p/a' hold no object"):
        read_davis(write_davis(tmp_path / "two", {"a": numbered()}))


def test_masks_and_frames_are_read_when_they_are_asked_for(tmp_path, sequences):
    root = write_davis(tmp_path, sequences)
    clip = read_davis(root).clips[0]
    write_jpegs(root / "JPEGImages" / "480p" / "dogs-jump", grey_ramps(3, 13, 19))
    (root / "Annotations" / "480p" / "dogs-jump" / "00002.png").unlink()
    with pytest.raises(PyraTokError, match="dogs-jump/00000.jpg'.*19"):
        clip.frames()
    with pytest.raises(PyraTokError, match="dogs-jump/00002.png' is no picture that can be read"):
        clip.objects[0].masks()
