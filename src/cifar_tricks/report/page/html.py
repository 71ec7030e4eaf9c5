"""The sections and pictures that the page shares with the report."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

PICTURE = re.compile(r'<img src="([^"]+)"')

PAGE_TEMPLATES = Path(__file__).with_name("templates")


def prose(markdown: str, folder: Path) -> Markup:
    """A section of the report as HTML.

    Args:
        markdown: whose values are escaped, so that HTML in it is the template's own.
        folder: ``reports/<scale>``, where its pictures lie.
    """
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    html = html.replace("<table>", '<div class="table" role="region" tabindex="0"><table>')
    html = html.replace("</table>", "</table></div>")
    # A region needs a name; the header's first cells tell what the table is about.
    html = re.sub(r'tabindex="0"><table>\s*<thead>\s*<tr>(.*?)</tr>', _named, html, flags=re.DOTALL)
    return Markup(PICTURE.sub(lambda match: _picture(match, folder), html))


def data_uri(path: Path) -> str:
    """A picture as part of the page, as WebP: a third of the size of the PNG beside the page."""
    lossless, lossy = io.BytesIO(), io.BytesIO()
    with Image.open(path) as picture:
        colours = picture.convert("RGB")
    colours.save(lossless, "WEBP", lossless=True, method=6)
    colours.save(lossy, "WEBP", quality=75, method=6)
    # Charts are smaller without loss, photos with.
    data = min(lossless.getvalue(), lossy.getvalue(), key=len)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _named(match: re.Match[str]) -> str:
    cells = re.findall(r"<th[^>]*>(.*?)</th>", match[1], flags=re.DOTALL)
    texts = [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells]
    name = "table: " + ", ".join(text for text in texts if text)
    head = re.sub("<th(?=[ >])", '<th scope="col"', match[0])
    # A header without text has nothing to say to a screen reader.
    head = re.sub(r"<th[^>]*></th>", "<td></td>", head)
    return head.replace('tabindex="0">', f'tabindex="0" aria-label="{name[:120]}">', 1)


def _picture(match: re.Match[str], folder: Path) -> str:
    path = folder / unquote(match[1])
    source = data_uri(path) if path.suffix == ".png" and path.is_file() else ""
    return f'<img loading="lazy" src="{source}"' if source else match[0]
