from pathlib import Path

from sigjepa.training.run_file_names import OUTPUTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "run_directory.md"


def test_the_page_of_the_run_directory_has_each_of_them():
    page = PAGE.read_text()
    assert [name for name in OUTPUTS if f"`{name.replace('*', '')}" not in page] == []
