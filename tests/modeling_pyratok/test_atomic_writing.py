import errno
import os
import stat
import subprocess
import sys

import pytest

from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.errors import PyraTokError, VideoWriteError


def write(target, contents=b"new"):
    with atomic_path(target) as path:
        path.write_bytes(contents)


def test_writes_beside_the_target_and_renames(tmp_path):
    target = tmp_path / "clip.mp4"
    with atomic_path(target) as path:
        assert path.parent == tmp_path and path.suffix == ".mp4" and path != target
        path.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_replaces_a_file_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "old"
    target.write_bytes(b"old")
    target.chmod(0o640)
    write(target)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    write(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError("no"), FileNotFoundError(errno.ENOENT, "input")])
def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path, problem):
    target = tmp_path / "old.png"
    target.write_bytes(b"old")
    with pytest.raises(type(problem) if isinstance(problem, Exception) else problem), atomic_path(target) as path:
        path.write_bytes(b"half")
        raise problem
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_sentence(tmp_path):
    target = tmp_path / "clip.mp4"
    with pytest.raises(VideoWriteError, match="no space left") as caught, atomic_path(target, VideoWriteError) as path:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "clip.mp4" in str(caught.value)
    assert not list(tmp_path.iterdir())


FILE_SIZE_LIMIT = """
import resource, sys
from pyratok.modeling_pyratok.atomic_writing import atomic_path
from pyratok.modeling_pyratok.errors import PyraTokError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path(sys.argv[1]) as path:
        path.write_bytes(bytes(5000))
except PyraTokError as problem:
    sys.exit(f"sentence: {problem}")
"""


def test_a_file_size_limit_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILE_SIZE_LIMIT, str(tmp_path / "big")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr.startswith("sentence: cannot write") and "too large" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_refuses_a_missing_folder(tmp_path):
    with pytest.raises(PyraTokError, match=r"folder .*missing' does not exist"):
        write(tmp_path / "missing" / "file")


def test_refuses_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PyraTokError, match="not a folder"):
        write(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300, b"bytes"])
def test_refuses_names_that_no_file_has(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PyraTokError, match="cannot write"):
        write(name)
    assert not list(tmp_path.iterdir())


def test_refuses_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_device").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    for target in ("/dev/null", *before):
        with pytest.raises(PyraTokError, match="cannot write"):
            write(target)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_follows_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


# To root nothing is forbidden, so that the next two tests let the system say what it says to others.
def test_refuses_a_write_protected_file(tmp_path, monkeypatch):
    target = tmp_path / "protected"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PyraTokError, match="write-protected"):
        write(target)
    assert target.read_bytes() == b"old"


def test_refuses_a_write_protected_folder(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PyraTokError, match="permission denied"):
        write(tmp_path / "new")


def test_says_so_if_the_file_was_not_written_at_all(tmp_path):
    with pytest.raises(PyraTokError, match="cannot write"), atomic_path(tmp_path / "new") as path:
        path.unlink()
    assert not list(tmp_path.iterdir())


def test_a_long_extension_does_not_make_the_name_too_long(tmp_path):
    write(tmp_path / f"a.{'x' * 250}")
    assert len(list(tmp_path.iterdir())) == 1
