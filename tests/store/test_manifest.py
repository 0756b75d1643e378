"""What distinguishes two nested mappings."""

from sigjepa.store.manifest import differences


def test_a_difference_keeps_key_and_values_apart_whatever_they_hold():
    have, want = {"a": {"b": "x, want y: z"}, "c": 1, "d": 2}, {"a": {"b": "left: have right"}, "c": 1}
    first, second = differences(have, want)
    assert first == ("a.b", "x, want y: z", "left: have right")
    assert str(second) == "d: have 2, want nothing"
