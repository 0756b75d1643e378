from pathlib import Path

import pytest

from sigjepa.corpus.sources.pins import Pin, normalized, read_pins
from sigjepa.errors import SigjepaError

DIGEST = "0123456789abcdef" * 4


def listed(folder: Path, text: str) -> Path:
    file = folder / "wheels.txt"
    file.write_text(text)
    return file


def test_pins_are_read_by_project_and_written_as_pip_wants_them(tmp_path: Path) -> None:
    text = f"# a head\n\nZope.One==1.0 --hash=sha256:{DIGEST}  # MIT\nabc==2!3.post1+x   --hash=sha256:{DIGEST}\n"
    pins = read_pins(listed(tmp_path, text))
    assert pins == [Pin("abc", "2!3.post1+x", DIGEST), Pin("zope-one", "1.0", DIGEST)]
    assert pins[1].requirement == f"zope-one==1.0 --hash=sha256:{DIGEST}"


def test_names_are_compared_as_pip_does() -> None:
    assert normalized("Foo.-_Bar") == "foo-bar"


@pytest.mark.parametrize(
    "line",
    [
        "abc",
        "abc==1.0",
        f"abc>=1.0 --hash=sha256:{DIGEST}",
        f"abc==1.0 --hash=md5:{DIGEST[:32]}",
        f"abc==1.0 --hash=sha256:{DIGEST[:63]}",
        f"abc==1.0 --hash=sha256:{DIGEST.upper()}",
        f"abc==1.0 --hash=sha256:{DIGEST} --hash=sha256:{DIGEST}",
        f"--index-url https://example.org\nabc==1.0 --hash=sha256:{DIGEST}",
        f"-r other.txt abc==1.0 --hash=sha256:{DIGEST}",
    ],
)
def test_a_line_that_is_no_pin_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SigjepaError, match=r"wheels\.txt:2: .*sha256"):
        read_pins(listed(tmp_path, f"# head\n{line}\n"))


def test_a_project_pinned_twice_is_named(tmp_path: Path) -> None:
    text = f"a.b==1.0 --hash=sha256:{DIGEST}\nA-B==2.0 --hash=sha256:{DIGEST}\n"
    with pytest.raises(SigjepaError, match=r"wheels\.txt:2: 'a-b'"):
        read_pins(listed(tmp_path, text))


def test_a_list_without_pins_and_a_missing_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match=r"corpus\.source\.wheels"):
        read_pins(listed(tmp_path, "# nothing\n"))
    with pytest.raises(SigjepaError, match=r"nowhere\.txt .*corpus\.source\.wheels"):
        read_pins(tmp_path / "nowhere.txt")
