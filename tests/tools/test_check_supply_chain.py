from pathlib import Path

import pytest
from check_supply_chain import check_bounds, check_coverage, check_pins, check_versions, problems_of, read_pins
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
BAD = {"some": {"allowed": ">=1.3.8,<1.4", "advisory": "CVE-1", "reason": "it burns"}}
HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize("version", ["1.3.7", "1.3.8rc1", "1.4", "1.4.0.post1", "0.1"])
def test_a_version_that_is_known_to_be_bad_is_named_with_advisory_and_way_out(version):
    (problem,) = check_versions("installed", {"some": version}, BAD)
    assert f"some {version}" in problem
    assert "CVE-1: it burns" in problem
    assert "some>=1.3.8,<1.4" in problem


@pytest.mark.parametrize("version", ["1.3.8", "1.3.8+cpu", "1.3.99"])
def test_an_allowed_version_is_no_problem(version):
    assert not list(check_versions("installed", {"some": version, "other": "0"}, BAD))


@pytest.mark.parametrize(
    "bounds", ["", ">=1.3", ">=1.3.7,<1.4", ">=1.3.8", ">=1.3.8,<1.5", ">=1.3.8,<=1.4", "~=1.3", "==1.3.*", "!=1.3.7"]
)
def test_a_bound_that_permits_a_bad_version_is_a_problem(bounds):
    (problem,) = check_bounds({"some": SpecifierSet(bounds)}, BAD)
    assert "pyproject.toml: some" in problem
    assert "CVE-1" in problem


@pytest.mark.parametrize("bounds", [">=1.3.8,<1.4", "==1.3.9", "~=1.3.8", ">1.3.8,<1.3.20", ">=1.3.10,<1.4"])
def test_a_bound_within_the_allowed_range_is_no_problem(bounds):
    assert not list(check_bounds({"some": SpecifierSet(bounds), "other": SpecifierSet("")}, BAD))


def test_the_lines_of_a_pin_are_read_together():
    pins, problems = read_pins(
        f"# head\ntorch==2.0\n\nOne_Two==1.0 ; python_version > '3' \\\n    {HASH} \\\n    {HASH}\n"
    )
    assert not problems
    assert {name: (pin.version, pin.hashes) for name, pin in pins.items()} == {
        "torch": ("2.0", 0),
        "one-two": ("1.0", 2),
    }
    assert not list(check_pins(pins))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("one==1.0", "one has no --hash"),
        ("one==1.0 --hash=sha256:abc", "one has no --hash"),
        ("one==1.0 --hash=md5:" + "0" * 32, "one has no --hash"),
        (f"one>=1.0 {HASH}", "one>=1.0 is no exact version"),
        (f"one {HASH}", "one is no exact version"),
        (f"one==1.* {HASH}", "is no exact version"),
        (f"== {HASH}", "is no requirement"),
        (f"one==1.0 {HASH}\nONE==1.0 {HASH}", "one is there twice"),
    ],
)
def test_a_pin_that_pip_could_not_verify_is_a_problem(line, words):
    pins, problems = read_pins(f"torch==2.0\n{line}\n")
    (problem,) = [*problems, *check_pins(pins)]
    assert words in problem
    assert "make pin" in problem


def test_torch_must_be_pinned():
    (problem,) = check_pins(read_pins(f"one==1.0 {HASH}\n")[0])
    assert "torch is not pinned" in problem


def test_what_is_installed_is_pinned_at_the_same_version():
    pins, _ = read_pins(f"torch==2.0\none==1.0 {HASH}\ntwo==1.0 {HASH}\n")
    installed = {"torch": "2.0+cpu", "one": "1.0", "two": "1.1", "three": "1.0", "cuda": "1.0", "this": "0.1"}
    differs, unpinned = check_coverage(installed, pins, "this", {"cuda"})
    assert "two is 1.1, constraints.txt says 1.0" in differs
    assert "three 1.0 is not in constraints.txt" in unpinned


def test_this_repository_passes():
    assert problems_of(ROOT, None) == []


def test_a_known_bad_pin_and_bound_in_the_files_are_both_found(tmp_path):
    for name in ("pyproject.toml", "constraints.txt", "known_bad.toml"):
        text = (ROOT / name).read_text()
        text = text.replace("lightning>=2.6.6", "lightning>=2.5").replace("\nlightning==2.6.6", "\nlightning==2.6.3")
        (tmp_path / name).write_text(text)
    pinned, permitted = problems_of(tmp_path, {})
    assert "constraints.txt: lightning 2.6.3" in pinned
    assert "pyproject.toml: lightning>=2.5 permits" in permitted
