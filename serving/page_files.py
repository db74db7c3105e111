"""The files of the web page, as the server sends them."""

from importlib.resources import files

_KINDS = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
FOLDER = files("serving") / "page"
FILES = {
    "/" if path.name == "index.html" else f"/page/{path.name}": (
        path.read_bytes(),
        _KINDS[path.name.rpartition(".")[2]],
    )
    for path in FOLDER.iterdir()
    if path.name.rpartition(".")[2] in _KINDS
}
"""For each path of the page its content and media type."""
