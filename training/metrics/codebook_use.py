"""Share and perplexity of the codes of one level, for `evaluate.load`."""

from importlib import import_module

# A relative import would fail: `evaluate` runs a copy of this file that lies outside the package.
CodebookUse = import_module("pyratok.training.evaluate_metrics").CodebookUse
