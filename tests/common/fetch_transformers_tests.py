"""Fetches transformers' own common tests, which PyraTok's model, configuration and video processor have to pass.

They are no part of the installed package; the source distribution of the same version holds them. It is downloaded
with pip from whatever index this machine uses, and only the test files named here are unpacked, into a folder that git
ignores. Run as a script before the tests (`make test` does), or call [`common_tests_folder`]; a second call finds what
the first left.
"""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).parent / ".transformers_tests"
PACKAGE = "transformers_common_tests"
WANTED = ("test_modeling_common.py", "test_configuration_common.py", "test_video_processing_common.py")

STAND_INS = {
    "__init__.py": '"""transformers\' common tests, unpacked."""\n',
    "exporters/test_export.py": '''
class ExportTesterMixin:
    """Stands in for the export tests, which the source distribution does not hold."""
''',
    "generation/test_utils.py": '''
class GenerationTesterMixin:
    """Stands in for the tests of `generate`, which PyraTokModel does not have."""
''',
    "utils/test_configuration_utils.py": '''
"""Stands in for a file that the source distribution does not hold: a non-default value of every common option."""

config_common_kwargs = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["PyraTokModel"],
    "id2label": {0: "label"},
    "label2id": {"label": 0},
    "problem_type": "regression",
}
''',
}
"""Modules that the common tests import but that are not in the source distribution."""


class CommonTestsMissing(RuntimeError):
    """The common tests could not be fetched, so the suite cannot run: a failure, never a skip."""


def common_tests_folder() -> Path:
    """A folder to put on `sys.path`: it holds the package `transformers_common_tests` of the installed version.

    Raises:
        CommonTestsMissing: if the source distribution cannot be downloaded or lacks a file; it says what to do.
    """
    version = importlib.metadata.version("transformers")
    target = CACHE / version
    if not target.is_dir():
        with tempfile.TemporaryDirectory() as scratch:
            archive = _download(version, Path(scratch))
            _unpack(archive, target)
    return target


def _download(version: str, folder: Path) -> Path:
    """Download the source distribution of transformers with pip and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder), f"transformers=={version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = sorted(folder.glob("transformers-*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        raise CommonTestsMissing(
            f"transformers' common tests are in the source distribution of transformers {version}, and pip could not "
            "download it. Check that the package index can be reached, then run `make test` again. pip said:\n"
            f"{done.stderr.strip()}"
        )
    return archives[0]


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the wanted files and write the stand-ins; the folder appears at once, complete, or not at all."""
    aside = target.with_name(f"{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    package = aside / PACKAGE
    package.mkdir(parents=True)
    with tarfile.open(archive) as files:
        root = files.next().name.split("/")[0]
        for name in WANTED:
            try:
                member = files.extractfile(f"{root}/tests/{name}")
            except KeyError:
                raise CommonTestsMissing(
                    f"{archive.name} holds no tests/{name}: this version keeps it elsewhere"
                ) from None
            (package / name).write_bytes(member.read())
    for name, source in STAND_INS.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(source.lstrip(), "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)


if __name__ == "__main__":
    try:
        print(f"transformers' common tests: {common_tests_folder()}")
    except CommonTestsMissing as error:
        sys.exit(str(error))
