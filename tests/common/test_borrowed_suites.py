"""What holds the borrowed tests together: the table of skips, and the download that must not fail in silence."""

import unittest

import fetch_transformers_tests
import pytest
from named_skips import NamedSkips


def results(skips: NamedSkips) -> dict[str, str]:
    """Run a suite of four tests under `skips`: "passed", "failed" or the reason of the skip, by name."""

    class Suite(unittest.TestCase):
        def test_passes(self):
            pass

        def test_skips_itself(self):
            with self.subTest():
                self.skipTest("nothing here")

        def test_would_fail(self):
            self.fail("presumes something")

        @unittest.skip("needs a machine")
        def test_marked(self):
            pass

    skips.hold(Suite)
    found = {}
    for name in ("test_passes", "test_skips_itself", "test_would_fail", "test_marked"):
        outcome = unittest.TestResult()
        Suite(name).run(outcome)
        found[name] = outcome.skipped[0][1] if outcome.skipped else "failed" if outcome.failures else "passed"
    return found


def test_skips_have_to_be_named():
    assert results(NamedSkips()) == {
        "test_passes": "passed",
        "test_skips_itself": "failed",
        "test_would_fail": "failed",
        "test_marked": "failed",
    }


def test_named_skips_give_their_reason():
    skips = NamedSkips(
        not_applicable={"test_would_fail": "not so here"},
        by_themselves={"test_skips_*": "nothing to test"},
        by_machine={"test_marked": "no such machine"},
    )
    assert results(skips) == {
        "test_passes": "passed",
        "test_skips_itself": "nothing to test",
        "test_would_fail": "not so here",
        "test_marked": "no such machine",
    }


def test_stale_names_fail():
    assert results(NamedSkips(by_themselves={"test_passes": "once it had nothing to test"}))["test_passes"] == "failed"
    with pytest.raises(ValueError, match="test_gone"):
        results(NamedSkips(not_applicable={"test_gone": "?"}))


def test_an_index_out_of_reach_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_transformers_tests, "CACHE", tmp_path)
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        fetch_transformers_tests.CommonTestsMissing, match="Check that the package index can be reached"
    ):
        fetch_transformers_tests.common_tests_folder()
    assert list(tmp_path.glob("*transformers*")) == []


def test_the_fetched_tests_are_those_of_the_installed_version():
    folder = fetch_transformers_tests.common_tests_folder()
    package = folder / fetch_transformers_tests.PACKAGE
    assert all((package / name).stat().st_size > 1000 for name in fetch_transformers_tests.WANTED)
    assert fetch_transformers_tests.common_tests_folder() == folder
