"""What a semantic layout holds: how many classes, whether pixels may be unknown, whether instances are told apart."""

from dataclasses import dataclass

UNKNOWN = 255
"""An unknown pixel in a label file, unless 255 is a class."""


@dataclass(frozen=True)
class Layout:
    """The layouts of one data set, all of one size.

    A batch of images with layouts is `{"label": int32 [B, H, W], "instance": int32 [B, H, W], "image": uint8
    [B, H, W, 3]}`, `instance` only where `instances` is true.

    Attributes:
      classes: L, the number of known classes; they are 0 .. L - 1 in a label map.
      dont_care: whether pixels may be unknown; these are L in a label map, and get a channel of their own.
      instances: whether an instance map tells the objects of one class apart; its integers are arbitrary, a
        network sees only where neighbours differ.
      height: of every image, in pixels.
      width: of every image, in pixels.
      names: one per class, or () where the set names none.
    """

    classes: int
    dont_care: bool
    instances: bool
    height: int
    width: int
    names: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """S ("semantic_nc" in the official code): the classes one-hot, then unknown, then instance edges."""
        return self.classes + self.dont_care + self.instances

    @property
    def value_names(self) -> tuple[str, ...]:
        """What to call each value that a label map may hold: numbers where the set names no classes."""
        known = self.names or tuple(str(value) for value in range(self.classes))
        return (*known, "unknown") if self.dont_care else known
