"""What the Hub refuses in a card's metadata, from its documentation (https://huggingface.co/docs/hub/model-cards).

The Hub validates a README.md when it is pushed; offline this stands in for it. Lists hold what cards here may use.
"""

from typing import Any

import yaml

LICENCES = {
    *(
        "apache-2.0",
        "mit",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
    ),
    *("cc-by-nc-4.0", "openrail", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "unknown", "other"),
}
PIPELINE_TAGS = {"text-to-video", "video-classification", "video-text-to-text", "video-to-video", "image-to-video"}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M"}
RESULT_FIELDS = {"task": ("type",), "dataset": ("type", "name")}


def metadata_problems(content: str, repo_type: str) -> list[str]:
    """What is wrong with the metadata of a README.md, in sentences; empty if nothing is."""
    if not content.startswith("---\n") or "\n---\n" not in content[3:]:
        return ["the card begins with no metadata"]
    try:
        data = yaml.safe_load(content[4 : content.index("\n---\n", 3)])
    except yaml.YAMLError as problem:
        return [f"the metadata is no YAML: {problem}"]
    if not isinstance(data, dict):
        return ["the metadata is no mapping"]
    problems = []
    if "license" in data and data["license"] not in LICENCES:
        problems.append(f"unknown license {data['license']!r}")
    if data.get("license") == "other" and "license_name" not in data:
        problems.append('license "other" needs license_name')
    tags = data.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and 0 < len(tag) <= 100 for tag in tags):
        problems.append("tags are a list of strings")
    if repo_type == "model":
        if data.get("pipeline_tag", "text-to-video") not in PIPELINE_TAGS:
            problems.append(f"unknown pipeline_tag {data['pipeline_tag']!r}")
        problems += _index_problems(data.get("model-index", []))
    if repo_type == "dataset" and not set(data.get("size_categories", [])) <= SIZES:
        problems.append(f"unknown size_categories {data['size_categories']!r}")
    if repo_type == "space":
        missing = [key for key in ("title", "sdk", "app_file") if not data.get(key)]
        problems += [f"a Space needs {key}" for key in missing]
    return problems


def _index_problems(index: Any) -> list[str]:
    if not isinstance(index, list):
        return ["model-index is a list"]
    problems = []
    for entry in index:
        if not isinstance(entry.get("name"), str) or not entry["name"]:
            problems.append("model-index needs a name")
        for result in entry.get("results", []):
            for part, fields in RESULT_FIELDS.items():
                problems += [
                    f"a result's {part} needs {field}" for field in fields if not result.get(part, {}).get(field)
                ]
            for metric in result.get("metrics") or [{}]:
                if not metric.get("type") or not isinstance(metric.get("value"), int | float):
                    problems.append("a metric needs a type and a number")
    return problems
