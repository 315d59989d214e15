"""The palettes, against a loop over bits and known colours."""

import numpy as np

from train.data.label_colours import CITYSCAPES, bit_colours, colour_labels, palette


def test_bit_colours_equal_a_loop_over_bits():
    for value, colour in enumerate(bit_colours(300)):
        number, expected = value + 1, [0, 0, 0]
        for j in range(7):
            for channel in range(3):
                expected[channel] |= (number >> channel & 1) << (7 - j)
            number >>= 3
        np.testing.assert_array_equal(colour, expected)


def test_first_colours_by_hand():
    np.testing.assert_array_equal(
        bit_colours(8)[[0, 1, 3, 6, 7]],
        [(128, 0, 0), (0, 128, 0), (0, 0, 128), (128, 128, 128), (64, 0, 0)],
    )


def test_colours_tell_classes_apart():
    assert len(np.unique(palette(183), axis=0)) == 183


def test_cityscapes_has_its_own():
    assert CITYSCAPES.shape == (35, 3) and palette(35) is CITYSCAPES
    names = {7: (128, 64, 128), 11: (70, 70, 70), 23: (70, 130, 180), 26: (0, 0, 142), 33: (119, 11, 32)}
    for value, colour in names.items():
        np.testing.assert_array_equal(palette(35)[value], colour)


def test_every_pixel_gets_the_colour_of_its_value():
    labels = np.random.default_rng(0).integers(0, 12, (2, 5, 4))
    coloured = colour_labels(labels, 12)
    assert coloured.shape == (2, 5, 4, 3) and coloured.dtype == np.uint8
    for index in np.ndindex(labels.shape):
        np.testing.assert_array_equal(coloured[index], palette(12)[labels[index]])
