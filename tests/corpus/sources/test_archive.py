import contextlib
import re
import stat
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.corpus.sources import archive
from sigjepa.corpus.sources.archive import check_member, python_members, read_members
from sigjepa.errors import SigjepaError


def member(name: str, kind: int = stat.S_IFREG) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name  # the constructor would mend it
    info.external_attr = (kind | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def wheel(folder: Path, *members: zipfile.ZipInfo | str, content: bytes = b"x = 1\n") -> Path:
    file = folder / "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as made:
        for one in members:
            made.writestr(member(one) if isinstance(one, str) else one, content)
    return file


def refused(file: Path, name: str, reason: str) -> None:
    with pytest.raises(SigjepaError) as caught:
        list(read_members(file, python_members(file)))
    message = str(caught.value)
    assert str(file) in message
    assert name in message
    assert reason in message
    assert f"Delete {file.name}" in message


def test_python_files_are_listed_in_order_and_read(tmp_path: Path) -> None:
    file = wheel(tmp_path, "pkg/b.py", "pkg/a.py", "pkg/data.json", "pkg/folder.py/", "pkg/__init__.py")
    assert python_members(file) == ["pkg/__init__.py", "pkg/a.py", "pkg/b.py"]
    assert list(read_members(file, ["pkg/b.py", "pkg/a.py"])) == [b"x = 1\n"] * 2


def test_nothing_is_written_beside_the_wheel(tmp_path: Path) -> None:
    file = wheel(tmp_path, "pkg/a.py")
    list(read_members(file, python_members(file)))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/a.py",
        "../a.py",
        "pkg/../../a.py",
        "pkg/..",
        "./a.py",
        "pkg//a.py",
        "pkg\\a.py",
        "..\\a.py",
        "C:/a.py",
        "c:a.py",
    ],
)
def test_a_name_that_may_leave_the_root_is_refused(tmp_path: Path, name: str) -> None:
    refused(wheel(tmp_path, "pkg/b.py", name), repr(name), "not a plain path")


def test_a_name_with_a_null_byte_is_refused() -> None:
    # writing one is as hard as reading one: zipfile cuts names there, but keeps the original
    with pytest.raises(SigjepaError, match=r"made\.whl.*pkg/a\.py"):
        check_member(Path("made.whl"), member("pkg/a.py\0.txt"))


PARTS = st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs"]), min_size=1).filter(
    lambda part: part not in (".", "..")
)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_a_plain_path_is_accepted(parts: list[str]) -> None:
    check_member(Path("made.whl"), member("/".join(parts)))


@given(st.lists(PARTS, max_size=3), st.lists(PARTS, max_size=3), st.sampled_from(["..", ".", "", "a\\b", "a\0b"]))
def test_a_bad_part_anywhere_is_refused(before: list[str], after: list[str], bad: str) -> None:
    name = "/".join([*before, bad, *after, "a.py"])
    with pytest.raises(SigjepaError, match=re.escape(repr(name))):
        check_member(Path("made.whl"), member(name))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_link_or_device_is_refused(tmp_path: Path, kind: int) -> None:
    link = member("pkg/link.py", kind)
    refused(wheel(tmp_path, "pkg/a.py", link, content=b"/etc/passwd"), "'pkg/link.py'", "link or a device")


def test_a_link_that_is_no_python_file_is_refused_too(tmp_path: Path) -> None:
    refused(wheel(tmp_path, "pkg/a.py", member("pkg/data", stat.S_IFLNK)), "'pkg/data'", "link or a device")


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="pkg/a.py"):
        file = wheel(tmp_path, "pkg/a.py", "pkg/a.py")
    refused(file, "'pkg/a.py'", "occurs twice")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    file = wheel(tmp_path, "pkg/a.py")
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    file.write_bytes(content)
    refused(file, "'pkg/a.py'", "encrypted")


def test_another_packing_than_deflate_is_refused(tmp_path: Path) -> None:
    packed = member("pkg/a.py")
    packed.compress_type = zipfile.ZIP_LZMA
    refused(wheel(tmp_path, packed), "'pkg/a.py'", "packed by method 14")


def test_a_file_that_declares_more_than_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wheel(tmp_path, "pkg/a.py", "pkg/data.bin", content=b"x" * 101)
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 101)
    assert python_members(file) == ["pkg/a.py"]
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 100)
    refused(file, "'pkg/a.py'", "would unpack to 101 bytes, over 100")


def declare(file: Path, size: int) -> None:
    """Let the only member of `file` claim to unpack to `size` bytes."""
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        position = content.index(signature) + offset
        content[position : position + 4] = struct.pack("<I", size)
    file.write_bytes(content)


@pytest.mark.parametrize("declared", [10, 200])
def test_a_file_of_another_size_than_it_declares_is_refused(tmp_path: Path, declared: int) -> None:
    file = wheel(tmp_path, "pkg/a.py", content=b"x" * 101)
    declare(file, declared)
    assert python_members(file) == ["pkg/a.py"]
    if declared < 101:  # unpacked no further than declared, and the checksum tells
        with pytest.raises(SigjepaError, match=r"made-1\.0-py3-none-any\.whl.*'pkg/a\.py'"):
            list(read_members(file, ["pkg/a.py"]))
    else:
        assert list(read_members(file, ["pkg/a.py"])) == [b"x" * 101]


def test_no_more_than_the_bound_is_unpacked_whatever_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = wheel(tmp_path, "pkg/a.py", content=b"x" * 101)
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 100)
    with pytest.raises(SigjepaError, match="'pkg/a.py' .*100 bytes"):
        list(read_members(file, ["pkg/a.py"]))


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    file = wheel(tmp_path, "pkg/a.py", content=b"#" * archive.RATIO_BYTES)
    refused(file, "'pkg/a.py'", "over 250 to 1")
    python_members(wheel(tmp_path, "pkg/a.py", content=b"#" * (archive.RATIO_BYTES - 1)))


def test_many_files_that_are_too_much_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wheel(tmp_path, "pkg/a.py", "pkg/b.py", "pkg/data.bin", content=b"x" * 100)
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 200)
    assert len(python_members(file)) == 2
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 199)
    refused(file, "", "its Python files would unpack to 200 bytes, over 199")
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    refused(file, "", "it has 3 members, over 2")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_is_a_clear_error_or_changes_no_content(position: int, flip: int) -> None:
    content = b"def f(x):\n    return x\n" * 5
    with tempfile.TemporaryDirectory() as folder:
        file = wheel(Path(folder), "pkg/a.py", "pkg/b.py", content=content)
        altered = bytearray(file.read_bytes())
        altered[position % len(altered)] ^= flip
        file.write_bytes(altered)
        with contextlib.suppress(SigjepaError):  # any other exception fails
            assert set(read_members(file, python_members(file))) <= {content}


def test_a_name_that_is_no_utf8_where_its_content_begins_is_named(tmp_path: Path) -> None:
    """Found by `make torture`: the list of members is read, and the copy of the name before the content is damaged."""
    file = wheel(tmp_path, "pkg/a.py")
    altered = bytearray(file.read_bytes())
    altered[7] |= 0x08  # the name before the content is UTF-8
    altered[30:38] = b"\xf1" * 8
    file.write_bytes(altered)
    refused(file, "pkg/a.py", "cannot be read")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06"])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "made-1.0-py3-none-any.whl"
    file.write_bytes(content)
    with pytest.raises(SigjepaError, match=r"made-1\.0-py3-none-any\.whl"):
        python_members(file)


@pytest.mark.parametrize("declared", [10, archive.MAX_FILE_BYTES, 2**31])
def test_a_bomb_takes_no_more_memory_than_the_bound_whatever_it_declares(tmp_path: Path, declared: int) -> None:
    file = wheel(tmp_path, "pkg/a.py", content=bytes(100_000_000))
    declare(file, declared)
    tracemalloc.start()
    with pytest.raises(SigjepaError, match=r"made-1\.0-py3-none-any\.whl.*'pkg/a\.py'"):
        list(read_members(file, python_members(file)))
    with contextlib.suppress(SigjepaError):  # and where nobody has looked at what it declares
        list(read_members(file, ["pkg/a.py"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * archive.MAX_FILE_BYTES


def test_members_that_share_one_bomb_are_refused(tmp_path: Path) -> None:
    """Entries of the directory may all name the same compressed bytes: a small file that unpacks to any size."""
    file = wheel(tmp_path, "pkg/a.py", "pkg/b.py", content=b"x" * 1000)
    content = bytearray(file.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 0)  # where the first member lies
    file.write_bytes(content)
    refused(file, "'pkg/b.py'", "cannot be read")
