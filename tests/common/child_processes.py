"""Python code in a process of its own, as a user's would be; with PyraTok installed or without it."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WITH_HELPERS = {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
"""Settings of a process that imports the helpers in this folder."""

WITHOUT_PYRATOK = """
import importlib.util, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
assert importlib.util.find_spec("pyratok") is None, "pyratok has to be installed in the editable way"
"""


def run_python(
    code: str, folder: Path, environment: Mapping[str, str], installed: bool = True, timeout: float = 300
) -> Any:
    """Run code in `folder`, which ends well, and give back the JSON in the last line that it printed.

    Args:
        installed: whether `import pyratok` works there.
    """
    code = ("" if installed else WITHOUT_PYRATOK) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout.splitlines()[-1])
