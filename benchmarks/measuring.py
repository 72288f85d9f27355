"""How the benchmarks measure: in one process, alternating, medians; memory in a process of its own."""

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table


def alternate(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each function; all run once to warm up, then in turn, so that a slow moment hits all alike."""
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_megabytes() -> float:
    """Of this process alone; `getrusage` would begin with the peak of the process that started it."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 1024


def _measured(function: Callable[..., Any], arguments: tuple, threads: int) -> tuple[Any, float]:
    torch.set_num_threads(threads)
    before = peak_megabytes()
    value = function(*arguments)
    return value, peak_megabytes() - before


def in_own_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `function` returns and the megabytes by which it raised the peak memory of a fresh process.

    Raises what `function` raises, and BrokenProcessPool if its process is killed, for want of memory for example.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments, torch.get_num_threads()).result()


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table for people, on the terminal."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=130).print(table)
