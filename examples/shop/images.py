"""Images in the PPM format (P6), with nothing but the standard library."""

from __future__ import annotations

from typing import NamedTuple


class Image(NamedTuple):
    """Rows of pixels, three bytes each."""

    width: int
    height: int
    pixels: bytes

    def scaled(self, width: int) -> Image:
        """Return the image scaled to ``width`` pixels, with the same proportions and the nearest pixels."""
        height = max(1, round(self.height * width / self.width))
        rows = []
        for y in range(height):
            row = y * self.height // height * self.width
            starts = ((row + x * self.width // width) * 3 for x in range(width))
            rows.append(b"".join(self.pixels[start : start + 3] for start in starts))
        return Image(width, height, b"".join(rows))

    @property
    def ppm(self) -> bytes:
        """The image as a file."""
        return b"P6 %d %d 255\n" % (self.width, self.height) + self.pixels


def read_ppm(file: bytes) -> Image:
    """Read the image in a file. Raises ``ValueError`` if it is in another format."""
    header, _, pixels = file.partition(b"\n")
    kind, width, height, depth = header.split()
    if (kind, depth) != (b"P6", b"255") or len(pixels) != int(width) * int(height) * 3:
        raise ValueError("not an image in the PPM format")
    return Image(int(width), int(height), pixels)
