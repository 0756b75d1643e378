import gc

import pytest

from sigjepa.runtime.garbage_collection import paused_garbage_collection


def test_it_is_paused_within_the_block_and_goes_on_after_it_and_after_an_error():
    with paused_garbage_collection():
        assert not gc.isenabled()
        with paused_garbage_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), paused_garbage_collection():
        raise KeyError
    assert gc.isenabled()


def test_what_somebody_else_has_paused_stays_so():
    gc.disable()
    try:
        with paused_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
