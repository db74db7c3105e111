"""Files of images: found inside one folder, opened within limits, never fetched."""

from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from rec_gen.errors import DataError, MissingPackageError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("GIF", "JPEG", "PNG", "WEBP")
BYTES = 20 << 20
"""The largest file that is read."""
PIXELS = 50_000_000
"""The largest image that is decoded: 150 MB in RGB."""


def find_image(folder: Path, name: object) -> Path:
    """The file of an image that a catalog names.

    Args:
        folder: The folder of the images.
        name: What the catalog says: a path below the folder.

    Raises:
        DataError: It says nothing, names the network or a place outside the folder, or there is no
            such file.
    """
    if not isinstance(name, str) or not name:
        raise DataError("has no image: ask for it in the template by {% if item.image %}")
    if "://" in name[:16] or name.startswith("data:"):
        raise DataError(
            f"image '{name[:60]}' is an address: prompts fetch nothing, save it as a file"
        )
    try:
        path = (folder / name).resolve(strict=True)
        inside, size = path.is_relative_to(folder.resolve()) and path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        raise DataError(
            f"image '{name}' cannot be found in the folder of prompt.images: put it there"
        ) from error
    if not inside:
        raise DataError(
            f"image '{name}' is no file inside the folder of prompt.images: put it there"
        )
    if size > BYTES:
        raise DataError(f"image '{name}' has {size} bytes, more than {BYTES}: make it smaller")
    return path


def open_image(path: Path) -> tuple["Image", bytes]:
    """Decode the first frame of an image, turned as its camera says.

    Returns:
        The image in RGB, and a digest of the file, 8 bytes.

    Raises:
        DataError: It is damaged, of another format or too large.
        MissingPackageError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingPackageError("pillow", "images") from error
    try:
        data = path.read_bytes()
        image = Image.open(BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > PIXELS:
            raise DataError(
                f"image '{path.name}' has {width} x {height} pixels, more than {PIXELS}: make it "
                "smaller"
            )
        upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"image '{path.name}' cannot be read ({first_line(error)}): give a whole file of the "
            f"formats {', '.join(FORMATS)}"
        ) from error
    return upright, blake2b(data, digest_size=8).digest()
