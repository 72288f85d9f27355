"""The package as a whole: what it exports, its layers, its documentation, and that there is only one of it."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import transformers
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

import pyratok

ROOT = Path(pyratok.__file__).resolve().parent
ALLOWED_IMPORTS = {
    "configuration": set(),
    "modeling_pyratok": {"configuration"},
    "pipelines": {"configuration", "modeling_pyratok", "hub_cards"},
    "token_datasets": {"configuration", "modeling_pyratok", "pipelines", "hub_cards"},
    "training": {"configuration", "modeling_pyratok", "pipelines"},
    "evaluation": {"configuration", "modeling_pyratok", "pipelines", "training"},
    "commands": {
        "configuration",
        "modeling_pyratok",
        "hub_cards",
        "pipelines",
        "token_datasets",
        "training",
        "evaluation",
    },
    "hub_cards": {"configuration", "modeling_pyratok"},
}
"""For each folder the other folders that its modules may import: nothing imports upward."""

SPACE = ROOT / "hub_cards" / "space"
"""The app stands outside: it uses the installed package, and is not in it."""

PUBLIC_NAMES = [
    "DenseCrfSettings",
    "EncodedText",
    "PyraTokActionLocalizationOutput",
    "PyraTokActionLocalizationPipeline",
    "PyraTokClassificationOutput",
    "PyraTokClassificationPipeline",
    "PyraTokConfig",
    "PyraTokDecoderOutput",
    "PyraTokEncoderOutput",
    "PyraTokError",
    "PyraTokModel",
    "PyraTokOutput",
    "PyraTokPrior",
    "PyraTokPriorConfig",
    "PyraTokPriorOutput",
    "PyraTokQuestionAnsweringOutput",
    "PyraTokQuestionAnsweringPipeline",
    "PyraTokReconstructionOutput",
    "PyraTokReconstructionPipeline",
    "PyraTokSegmentationOutput",
    "PyraTokSegmentationPipeline",
    "PyraTokTextAlignment",
    "PyraTokTextAlignmentConfig",
    "PyraTokTextToVideoOutput",
    "PyraTokTextToVideoPipeline",
    "PyraTokTokenProjector",
    "PyraTokTokenProjectorConfig",
    "PyraTokVideoProcessor",
    "ReconstructedPiece",
    "SearchHit",
    "TextEncoder",
    "TokenCollector",
    "TokenFileError",
    "TokenIndex",
    "VideoInfo",
    "VideoReadError",
    "VideoReader",
    "VideoTokens",
    "VideoWriteError",
    "VideoWriter",
    "load_text_alignment",
    "load_text_encoder",
    "read_video",
    "token_sequence",
    "write_token_dataset",
    "write_token_files",
    "write_video",
]


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """(folder, path, syntax tree) of every module of the package, its own `__init__` and `__main__` left out."""
    for folder in ALLOWED_IMPORTS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.is_relative_to(SPACE):
                yield folder, path, ast.parse(path.read_text("utf-8"))


def modules_of_the_app() -> Iterator[tuple[str, Path, ast.Module]]:
    """The same of the app's modules."""
    for path in sorted(SPACE.glob("*.py")):
        yield "hub_cards", path, ast.parse(path.read_text("utf-8"))


def test_there_is_one_copy_of_the_package():
    """pytest imports the root a second time, under its folder's name, when it is started with settings in the root."""
    strangers = []
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/").resolve()
        parts = file.relative_to(ROOT).parts if file.is_relative_to(ROOT) and not file.is_relative_to(SPACE) else ("",)
        if (parts == ("__init__.py",) or parts[0] in ALLOWED_IMPORTS) and name.split(".")[0] != "pyratok":
            strangers.append(name)
    assert strangers == []


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_names_are_importable(name):
    assert getattr(pyratok, name).__name__ == name


def test_all_is_the_public_names():
    assert sorted(pyratok.__all__) == sorted([*PUBLIC_NAMES, "__version__"])


def test_auto_classes_know_pyratok(tmp_path, tiny_model):
    tiny_model.save_pretrained(tmp_path)
    pyratok.PyraTokVideoProcessor().save_pretrained(tmp_path)
    assert isinstance(transformers.AutoConfig.from_pretrained(tmp_path), pyratok.PyraTokConfig)
    assert isinstance(transformers.AutoModel.from_pretrained(tmp_path), pyratok.PyraTokModel)
    assert isinstance(AutoVideoProcessor.from_pretrained(tmp_path), pyratok.PyraTokVideoProcessor)
    assert isinstance(transformers.AutoProcessor.from_pretrained(tmp_path), pyratok.PyraTokVideoProcessor)


def test_import_is_silent_and_leaves_torch_alone():
    code = "import torch; before = torch.get_num_threads(); import pyratok; assert torch.get_num_threads() == before"
    done = subprocess.run([sys.executable, "-W", "error::DeprecationWarning:pyratok", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert (done.stdout, done.stderr) == (b"", b"")


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "pyratok", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reconstruct" in done.stdout


def test_nothing_imports_upward():
    wrong = []
    for folder, path, tree in modules():
        depth = len(path.relative_to(ROOT).parts) - 1  # folders between the module and the root
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                target = (node.module or node.names[0].name).split(".")[0]
                if target != folder and target not in ALLOWED_IMPORTS[folder]:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {target}")
    assert wrong == []


def test_imports_inside_the_package_are_relative():
    wrong = [str(path) for _, path, tree in modules() if imported(tree) & {"pyratok", *ALLOWED_IMPORTS}]
    assert wrong == []


def imported(tree: ast.Module) -> set[str]:
    """The top-level names that a module imports absolutely, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_every_module_and_every_public_class_and_function_is_documented():
    missing = []
    for _, path, tree in (*modules(), *modules_of_the_app()):
        if path.name != "__init__.py" and not ast.get_docstring(tree):
            missing.append(f"{path.relative_to(ROOT)}:1 the module")
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert missing == []


def test_functions_are_typed():
    untyped = []
    for _, path, tree in (*modules(), *modules_of_the_app()):
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("__"):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            if bare or node.returns is None:
                untyped.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}({', '.join(bare)})")
    assert untyped == []


@pytest.fixture
def setup_options(monkeypatch) -> dict:
    """What setup.py hands to setuptools."""
    import setuptools

    options = {}
    monkeypatch.setattr(setuptools, "setup", lambda **given: options.update(given))
    spec = importlib.util.spec_from_file_location("pyratok_setup_script", ROOT / "setup.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return options


def test_setup_lists_every_folder_and_every_data_file(setup_options):
    """Editable installs work even if a folder is forgotten in setup.py; real ones do not."""
    assert setup_options["version"] == pyratok.__version__
    folders = {path.parent.relative_to(ROOT).parts for _, path, _ in modules()}
    assert {"pyratok", *(".".join(["pyratok", *parts]) for parts in folders)} == set(setup_options["packages"])
    for folder in ALLOWED_IMPORTS:
        patterns = setup_options["package_data"].get(f"pyratok.{folder}", [])
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT / folder).as_posix()
            if path.is_file() and path.suffix not in (".py", ".pyc") and not path.is_relative_to(SPACE):
                assert any(fnmatch(name, pattern) for pattern in patterns), f"setup.py leaves {folder}/{name} out"


def test_setup_requires_what_is_imported(setup_options):
    """Libraries that come with others today may not tomorrow: what is imported is declared."""
    distributions = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    everywhere, extras = declared(setup_options["install_requires"]), setup_options["extras_require"]
    allowed = {
        "token_datasets": everywhere | declared(extras["train"]),
        "training": everywhere | declared(extras["train"]),
        "evaluation": everywhere | declared(extras["train"]) | declared(extras["evaluate"]),
    }
    missing = set()
    for folder, path, tree in modules():
        for name in imported(tree) - sys.stdlib_module_names:
            if distributions.get(name, name) not in allowed.get(folder, everywhere):
                missing.add(f"{path.relative_to(ROOT)} imports {name}")
    assert missing == set()


def test_constraints_pin_every_requirement_exactly(setup_options):
    pins = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    required = declared([*setup_options["install_requires"], *sum(setup_options["extras_require"].values(), [])])
    assert required <= declared(pins)
    assert "torch==2.13.0" in pins


def declared(requirements: list[str]) -> set[str]:
    """The names of the distributions in a list of requirements."""
    return {re.match(r"[\w.-]+", requirement).group().lower() for requirement in requirements}
