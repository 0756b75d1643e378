import gc

import pytest

from sigjepa.runtime.garbage import search_rests


def test_the_search_rests_within_the_block_and_goes_on_after_it_and_after_an_error():
    with search_rests():
        assert not gc.isenabled()
        with search_rests():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), search_rests():
        raise KeyError
    assert gc.isenabled()


def test_a_search_that_somebody_stopped_stays_so():
    gc.disable()
    try:
        with search_rests():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
