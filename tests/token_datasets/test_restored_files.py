"""Rows back into token files: the same bytes, and never outside the folder."""

import shutil

import pytest
from datasets import load_dataset
from token_examples import make_tokens

import pyratok
from pyratok import write_token_files


def row(name: object, **fields) -> dict:
    return {"name": name, "tokens": make_tokens(**fields).to_bytes()}


def tree(folder) -> dict:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_of_token_files_comes_back_byte_for_byte(dataset_folder, token_folder, tmp_path):
    rows = load_dataset(str(dataset_folder), split="train", streaming=True)
    for _ in range(2):
        paths = write_token_files(rows, tmp_path / "again")
        assert tree(tmp_path / "again") == tree(token_folder)
        assert len(paths) == 5 and all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    "name",
    [
        *("../out", "a/../../out", "/out", "..", ".", "", "a//b", "a/./b", "a/", "/", "a\0b"),
        *("..\\out", "C:\\out", "a\\..\\b"),
        *(None, 3, b"bytes", ["list"]),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name, tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    with pytest.raises(pyratok.TokenFileError, match="is no path inside a folder"):
        write_token_files([row(name)], folder)
    assert tree(tmp_path) == {}


def test_a_link_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside/a").symlink_to(tmp_path / "outside")
    (tmp_path / "inside/c.safetensors").symlink_to(tmp_path / "outside/c.safetensors")
    for name in ("a/b", "c"):
        with pytest.raises(pyratok.TokenFileError, match="leads out of the folder"):
            write_token_files([row(name)], tmp_path / "inside")
    assert tree(tmp_path) == {}


def test_names_that_only_look_dangerous_are_names(tmp_path):
    names = ["<script>", "a b", "..a", "12:30", "{{ 7 }}", "ü/文", "---", "$(ls)", "a.safetensors"]
    for path, name in zip(write_token_files(map(row, names), tmp_path), names, strict=True):
        assert path == tmp_path / f"{name}.safetensors" and path.is_file()


def test_what_is_there_and_is_no_token_file_is_kept(tmp_path):
    shutil.copy(tmp_path.joinpath(__file__), tmp_path / "mine.safetensors")
    before = tree(tmp_path)
    with pytest.raises(pyratok.TokenFileError, match="is no token file"):
        write_token_files([row("mine")], tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(pyratok.TokenFileError, match="cannot write"):
        write_token_files([row("file/a")], tmp_path)
    with pytest.raises(pyratok.TokenFileError, match="cannot write"):
        write_token_files([row("a" * 300)], tmp_path)
    assert tree(tmp_path) == {**before, "file": b"mine"}


def test_damaged_and_repeated_rows_are_refused(tmp_path):
    good = row("a")
    with pytest.raises(pyratok.TokenFileError, match="the row 'b' cannot be used"):
        write_token_files([good, {"name": "b", "tokens": good["tokens"][:-1]}], tmp_path)
    assert list(tree(tmp_path)) == ["a.safetensors"]
    with pytest.raises(pyratok.TokenFileError, match="two rows are named 'a'"):
        write_token_files([good, row("a", seed=1)], tmp_path)
