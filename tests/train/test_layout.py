"""How many channels and values a layout has."""

from train.layout import Layout


def test_channels_are_classes_then_unknown_then_edges():
    for dont_care in (False, True):
        for instances in (False, True):
            layout = Layout(5, dont_care, instances, 4, 8)
            assert layout.channels == 5 + dont_care + instances
            assert len(layout.value_names) == 5 + dont_care


def test_value_names():
    assert Layout(2, True, False, 4, 4, ("sky", "road")).value_names == ("sky", "road", "unknown")
    assert Layout(2, False, True, 4, 4).value_names == ("0", "1")
