"""Sphinx's settings: `make docs` builds the site into docs/_build/html, offline, and every warning is an error."""

import sys
from pathlib import Path

import pyratok

sys.path.insert(0, str(Path(__file__).parent))

project = "PyraTok"
author = "PyraTok developers"
release = pyratok.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "markdown_docstrings"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"PyraTok {release}"
html_show_copyright = False
html_copy_source = False

myst_heading_anchors = 3  # links to headings, as on GitHub
default_role = "code"  # docstrings write `name`, as in Markdown

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": True, "show-inheritance": True}
napoleon_numpy_docstring = False

OTHER_LIBRARIES = "collections|datasets|diffusers|fractions|huggingface_hub|numpy|os|pathlib|PIL|torch|transformers"
nitpick_ignore_regex = [
    ("py:.*", rf"({OTHER_LIBRARIES})\..*"),  # looking these up would take a network
    ("py:.*", r"pyratok\.[a-z_]+\..*"),  # what is not public has no page
]
