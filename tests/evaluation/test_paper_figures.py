"""The figures of the paper and the tables with measured ones beside them."""

import io

import pytest
from rich.console import Console

from pyratok.evaluation.paper_figures import PAPER_ROWS, paper_table


def shown(table) -> str:
    text = io.StringIO()
    Console(file=text, width=120, markup=False).print(table)
    return text.getvalue()


def test_the_rows_are_those_of_the_paper():
    figures = {key: (row.rival, [(m.pyratok, m.rival) for m in row.metrics]) for key, row in PAPER_ROWS.items()}
    assert figures == {
        "webvid-10m": ("LARP", [(35.72, 33.03), (0.879, 0.851), (0.066, 0.091)]),
        "coco-val": ("LARP", [(36.05, 34.26), (0.885, 0.853), (0.071, 0.089)]),
        "mcl-jcv": ("3D-MBQ-VAE", [(29.82, 29.09), (0.942, 0.922), (0.068, 0.089)]),
        "ucf-101": ("LARP", [(51, 57)]),
        "youtube-vis-2021": ("OmniTokenizer", [(24.54, 14.54), (66.56, 51.12)]),
        "ovis": ("OmniTokenizer", [(8.9, 2.8), (49.44, 33.27)]),
        "thumos14": ("LARP", [(33.17, 27.42)]),
        "activitynet": ("LARP", [(29.11, 25.53)]),
        "mvbench": ("LARP", [(86.03, 83.21)]),
        "kinetics-400": ("LARP", [(78.43, 69.27)]),
        "kinetics-600": ("LARP", [(77.11, 68.52)]),
        "kinetics-700": ("LARP", [(74.08, 66.89)]),
    }


def test_the_paper_is_better_than_its_rival_in_every_figure():
    """Which also says that the directions are right."""
    for row in PAPER_ROWS.values():
        for metric in row.metrics:
            assert (metric.pyratok > metric.rival) == metric.is_better_high, (row.benchmark, metric.name)


@pytest.mark.parametrize("benchmark", PAPER_ROWS)
def test_every_benchmark_has_a_table(benchmark):
    row = PAPER_ROWS[benchmark]
    text = shown(paper_table(benchmark, {row.metrics[0].name: 12.5}, "simulated scenes", "pyratok"))
    assert row.benchmark in text and f"{row.rival} (paper)" in text
    assert row.metrics[0].template.format(12.5) in text
    assert text.count("not measured") == len(row.metrics) - 1
    for metric in row.metrics:
        assert metric.template.format(metric.pyratok) in text and metric.template.format(metric.rival) in text


def test_it_says_what_was_measured_on_what():
    text = " ".join(shown(paper_table("ucf-101", {"gFVD": 60.2}, "12 clips of [UCF]", "pyratok")).split())
    assert "Measured: pyratok on 12 clips of [UCF]." in text and "full-size models on the whole benchmark" in text
    assert "with 1024 tokens" in text and "gFVD (lower is better)" in text


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="the paper has no benchmark 'ucf'; it has webvid-10m"):
        paper_table("ucf", {}, "data", "pyratok")
    with pytest.raises(ValueError, match="no figure st-lpips of COCO-val; it has PSNR, SSIM, LPIPS"):
        paper_table("coco-val", {"st-lpips": 1.0}, "data", "pyratok")
    with pytest.raises(ValueError, match="which model was measured on what"):
        paper_table("coco-val", {}, " ", "pyratok")
