"""Images of items on the page, in Chromium, from a server that is not the page's own."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import polars as pl
import pytest
from PIL import Image

from rec_gen.catalog import Catalog
from rec_gen.testing import random_bundle
from tests.browser import NEEDS_CHROMIUM, expect, launched
from tests.serving.page import add, opened
from tests.serving.server import Server, served

pytestmark = NEEDS_CHROMIUM
SHAPES = "all => all.map((one) => [one.offsetWidth, one.offsetHeight])"


@contextmanager
def image_server() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server of one red image, which answers 404 to every other path; and what it was asked."""
    file = io.BytesIO()
    Image.new("RGB", (90, 60), "red").save(file, "PNG")
    asked: list[tuple[str, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Referer"]))
            found = self.path == "/red.png"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            if found:
                self.wfile.write(file.getvalue())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose catalog names images, of which one is there."""
    folder = tmp_path_factory.mktemp("gallery")
    with image_server() as (host, asked):
        images = [
            f"{host}/red.png", f"{host}/gone.png", None, "javascript:document.title = 1",
            "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "/page/icon.svg",
        ]  # fmt: skip
        names = ["red", "gone", "none", "script", "data", "own"]
        frame = pl.DataFrame({"item": names, "title": [f"Film {name}" for name in names]})
        catalog = Catalog(frame.with_columns(pl.Series("image", images, pl.String)))
        random_bundle(catalog, "title").save(folder / "bundle")
        with served(folder / "bundle", "--store", f"sqlite:///{folder / 'store.db'}") as server:
            yield server, host, asked


@pytest.mark.parametrize(("scheme", "width", "side"), [("light", 1280, 48), ("dark", 320, 36)])
def test_an_item_shows_its_image_and_keeps_its_place_without_one(
    browser: Any, gallery: tuple[Server, str, Any], scheme: str, width: int, side: int
) -> None:
    server, host, asked = gallery
    screen = {"width": width, "height": 900}
    with opened(
        browser, server, refused=2, beside=host, color_scheme=scheme, viewport=screen
    ) as page:
        image = page.locator(".card img")
        expect(image).to_have_count(1)
        assert page.eval_on_selector_all(".card .picture", SHAPES) == [[side, side]] * 6
        assert image.get_attribute("alt") == "Image of Film red"
        assert image.get_attribute("loading") == "lazy"
        expect(image).to_have_js_property("naturalWidth", 90)
        add(page, "red")
        expect(page.locator("#history .picture img")).to_have_count(1)
        expect(page.locator(".card img")).to_have_count(0)  # the other one failed again
        page.fill("#search", "film red")
        page.wait_for_selector("#found .picture img")
        assert page.title() == "rec_gen"
        assert host not in page.inner_text("body")
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert {path for path, _ in asked} == {"/red.png", "/gone.png"}
    assert {referrer for _, referrer in asked} == {None}


def test_only_images_may_come_from_elsewhere(gallery: tuple[Server, str, Any]) -> None:
    with gallery[0].client() as client:
        policy = client.get("/").headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives.pop("img-src") == "'self' http: https:"
    assert set(directives.values()) == {"'none'", "'self'"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium
