import gc

import pytest

from sigjepa.runtime.imports import import_libraries


@pytest.fixture
def frozen(monkeypatch):
    """How often what is there was left out of searches; nothing of the tests' own is."""
    times = []
    monkeypatch.setattr(gc, "freeze", lambda: times.append(gc.isenabled()))
    return times


def test_libraries_are_imported_while_the_search_for_garbage_rests(tmp_path, monkeypatch, frozen):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_large_library.py").write_text("import gc\n\nrests = not gc.isenabled()\n")
    import_libraries(["json", "a_large_library"])
    import a_large_library

    assert a_large_library.rests
    assert (gc.isenabled(), frozen) == (True, [False])


def test_a_process_that_has_them_goes_on_as_it_was(frozen):
    import_libraries(["json", "gc"])
    import_libraries([])
    assert frozen == []


def test_the_search_goes_on_after_a_library_that_is_not_there(frozen):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        import_libraries(["no_such_library"])
    assert gc.isenabled()
