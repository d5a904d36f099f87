"""A finished build of a web app (`ServiceSettings.WebAppDirectory`): `root.html` for every page, /static/ for the rest.

What there is is read once, at start: a path is looked up among these names, and never leads into the file system. A
page is not kept by browsers, and a file of the build for ever: its name changes with what it holds.
"""

import asyncio
import base64
import hashlib
import mimetypes
import os
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import falcon
from falcon.asgi import Request, Response

from api.http import answers, paths
from app.context import Context
from app.ports import Blob, BlobFailed

ROOT: Final = "root.html"
_STATIC: Final = "/static/"
_BESIDE: Final = frozenset({"robots.txt", "unsupported_browser.js"})
"""Files of the build that browsers ask for at the top."""
_NO_PAGES: Final = ("/api", "/hooks", "/plugins", "/static")
"""What begins like this is no page of a web app: it is there, or 404."""
_CODINGS: Final = {"br": (b"br",), "gzip": (b"gzip", b"x-gzip")}
_SUFFIXES: Final = {"br": ".br", "gzip": ".gz"}
_IMMUTABLE: Final = "max-age=31556926, public, immutable"
_PACKED_TYPES = ("text/", "application/javascript", "application/json", "application/wasm", "image/svg+xml")
_PACKED_BYTES: Final = 32 << 20
_PACKED_LEVEL: Final = 6
_REWRITTEN_BYTES: Final = 8 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_META_POLICY = re.compile(rb"""<meta\s[^>]*http-equiv=["']?Content-Security-Policy["']?[^>]*>""", re.IGNORECASE)
_CONTENT = re.compile(rb"""content=("([^"]*)"|'([^']*)')""", re.IGNORECASE)
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.IGNORECASE | re.DOTALL)
_OF_STATIC = re.compile(rb"""(["'=(])/static/""")


@dataclass(frozen=True)
class File:
    """A file of the build. tag: of its content, the same on every node that has the same build."""

    name: str
    size: int
    tag: str
    type: str
    codings: Mapping[str, "File"]


class WebApp:
    """Serves the build. Of two nodes with the same build both answer alike."""

    def __init__(self, ctx: Context) -> None:
        assert ctx.web_app is not None
        self._ctx = ctx
        self._blobs = ctx.web_app
        directory = Path(ctx.config.service_settings.web_app_directory)
        self._files = look_up(directory)
        self._root = (directory / ROOT).read_bytes()
        self._page: tuple[str, Page] = "", page_of(self._root, "")
        self._packed: dict[str, bytes] = {}
        self._packing = asyncio.Lock()

    async def on_get(self, req: Request, resp: Response) -> None:
        """GET /."""
        self._send_page(req, resp)

    async def on_head(self, req: Request, resp: Response) -> None:
        """HEAD /."""
        self._send_page(req, resp)

    async def __call__(self, req: Request, resp: Response | None, **_parts: Any) -> None:
        """Whatever no operation has. Raises HTTPRouteNotFound."""
        assert resp is not None  # that is for WebSockets
        path: str = req.path
        if req.method not in ("GET", "HEAD"):
            raise falcon.HTTPRouteNotFound
        name = path.removeprefix(_STATIC) if path.startswith(_STATIC) else path[1:] if path[1:] in _BESIDE else None
        if name is not None:
            file = self._files.get(name)
            if file is None:
                raise falcon.HTTPRouteNotFound
            await self._send_file(req, resp, file, kept=path.startswith(_STATIC))
        elif path.startswith(tuple(f"{one}/" for one in _NO_PAGES)) or path in _NO_PAGES:
            raise falcon.HTTPRouteNotFound
        else:
            self._send_page(req, resp)

    @property
    def _base(self) -> str:
        return paths.base_of(self._ctx.config.service_settings.site_url)

    def _send_page(self, req: Request, resp: Response) -> None:
        base = self._base
        if self._page[0] != base:
            self._page = base, page_of(self._root, base)
        page = self._page[1]
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Cache-Control", "no-cache, max-age=31556926, public")
        resp.set_header("Content-Security-Policy", page.policy)
        if not _is_known(req, resp, page.tag, weak=True):
            resp.data = page.content

    async def _send_file(self, req: Request, resp: Response, file: File, *, kept: bool) -> None:
        resp.content_type = file.type
        resp.set_header("Cache-Control", _IMMUTABLE if kept else "no-cache, public")
        base = self._base
        if base and (file.name.endswith(".css") or file.name == "manifest.json") and file.size <= _REWRITTEN_BYTES:
            if not _is_known(req, resp, f"{file.tag}-{base}", weak=True):
                resp.data = below(base, await self._whole(file))
            return
        resp.set_header("Accept-Ranges", "bytes")
        wanted = req.get_header("Range")
        if wanted and req.method == "GET" and _applies(req, file):
            if _is_known(req, resp, file.tag):
                return
            await self._send_part(resp, file, wanted)
            return
        accepted = (req.get_header("Accept-Encoding") or "").encode("latin-1")
        for coding, names in _CODINGS.items():
            if accepted and answers.accepts(accepted, names) and await self._send_coded(req, resp, file, coding):
                return
        if not _is_known(req, resp, file.tag):
            await self._send_blob(req, resp, file)

    async def _send_coded(self, req: Request, resp: Response, file: File, coding: str) -> bool:
        """In this form, if there is one; whether it was."""
        found = file.codings.get(coding)
        packed = await self._pack(file) if found is None and coding == "gzip" else None
        if found is None and packed is None:
            return False
        resp.set_header("Content-Encoding", coding)
        if not _is_known(req, resp, f"{file.tag}-{coding}"):
            if found is not None:
                await self._send_blob(req, resp, found)
            else:
                resp.data = packed
        return True

    async def _pack(self, file: File) -> bytes | None:
        """The file as gzip, where it lies beside in no form; None for what does not get smaller, or has no room."""
        if not file.type.startswith(_PACKED_TYPES) or file.size < answers.PACK_FROM_BYTES or file.codings:
            return None
        async with self._packing:
            packed = self._packed.get(file.name)
            if packed is None:
                if sum(map(len, self._packed.values())) + file.size // 2 > _PACKED_BYTES:
                    return None
                content = await self._whole(file)
                packed = await asyncio.to_thread(zlib.compress, content, _PACKED_LEVEL, 31)
                self._packed[file.name] = packed
        return packed

    async def _whole(self, file: File) -> bytes:
        async with AsyncExitStack() as stack:
            blob = await self._open(stack, file)
            return b"".join([chunk async for chunk in blob.read()])

    async def _open(self, stack: AsyncExitStack, file: File) -> Blob:
        """Raises HTTPRouteNotFound for a file that has gone since the start, HTTPServiceUnavailable."""
        try:
            return await stack.enter_async_context(self._blobs.open(file.name))
        except BlobFailed as failed:
            raise (falcon.HTTPRouteNotFound if failed.why == "missing" else falcon.HTTPServiceUnavailable)() from failed

    async def _send_blob(self, req: Request, resp: Response, file: File) -> None:
        if req.method == "HEAD":
            resp.content_length = file.size
            return
        stack = AsyncExitStack()
        blob = await self._open(stack, file)
        resp.content_length = blob.size
        resp.stream = _chunks(stack, blob, 0, blob.size)

    async def _send_part(self, resp: Response, file: File, wanted: str) -> None:
        stack = AsyncExitStack()
        blob = await self._open(stack, file)
        part = part_of(wanted, blob.size)
        if part is None:
            await stack.aclose()
            resp.status = 416
            resp.set_header("Content-Range", f"bytes */{blob.size}")
            return
        start, length = part
        resp.status = 206
        resp.set_header("Content-Range", f"bytes {start}-{start + length - 1}/{blob.size}")
        resp.content_length = length
        resp.stream = _chunks(stack, blob, start, length)


async def _chunks(stack: AsyncExitStack, blob: Blob, start: int, length: int) -> AsyncIterator[bytes]:
    async with stack:
        async for chunk in blob.read(start, length):
            yield chunk


def _is_known(req: Request, resp: Response, tag: str, *, weak: bool = False) -> bool:
    """Set the ETag; True, with a 304, when the client has this very state already."""
    resp.set_header("ETag", f'W/"{tag}"' if weak else f'"{tag}"')
    known = req.if_none_match
    if not known or not any(str(one) in (tag, "*") for one in known):
        return False
    resp.status = 304
    return True


def _applies(req: Request, file: File) -> bool:
    """Whether the part is wanted of what the file holds now (If-Range, RFC 9110 §13.1.5), and is one part."""
    condition = req.get_header("If-Range")
    found = _RANGE.fullmatch(req.get_header("Range") or "")
    return found is not None and any(found.groups()) and condition in (None, f'"{file.tag}"')


def part_of(wanted: str, size: int) -> tuple[int, int] | None:
    """Where the part of a Range header begins, and its length; None when there is none of it (RFC 9110 §14.1.2)."""
    found = _RANGE.fullmatch(wanted)
    if found is None or not any(found.groups()):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, length) if length else None
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    return (first, last - first + 1) if first <= last else None


def look_up(directory: Path) -> dict[str, File]:
    """The files of a build by their names below it. What is a link is none: it may lead anywhere."""
    found: dict[str, os.stat_result] = {}
    for at, folders, names in os.walk(directory):
        folders[:] = [one for one in folders if not one.startswith(".")]
        for name in names:
            path = Path(at, name)
            if not name.startswith(".") and not path.is_symlink() and path.is_file():
                found[path.relative_to(directory).as_posix()] = path.stat()
    return {name: _file(name, about, found) for name, about in found.items()}


def _file(name: str, about: os.stat_result, all_of_them: Mapping[str, os.stat_result]) -> File:
    tag = f"{int(about.st_mtime):x}-{about.st_size:x}"
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "application/javascript" if guessed.endswith("/javascript") else guessed
    if kind.startswith("text/") or kind in ("application/javascript", "application/json"):
        kind += "; charset=utf-8"
    codings = {}
    for coding, suffix in _SUFFIXES.items():
        packed = all_of_them.get(name + suffix)
        if packed is not None:
            codings[coding] = File(name + suffix, packed.st_size, tag, kind, {})
    return File(name, about.st_size, tag, kind, codings)


@dataclass(frozen=True)
class Page:
    """The page as it is sent. policy: its Content-Security-Policy."""

    content: bytes
    policy: str
    tag: str


def page_of(root: bytes, base: str) -> Page:
    """`root.html` for an app below `base` ('' for none).

    The policy is the one that the build asks for in a meta element, which cannot say who may frame the page; its own
    inline scripts run, and no others.
    """
    asked = _META_POLICY.search(root)
    content = _META_POLICY.sub(b"", below(base, root), count=1)
    if base:
        where = f"<script>window.publicPath='{base}/static/'</script>".encode()
        at = content.find(b"<script")
        content = content[:at] + where + content[at:] if at >= 0 else content + where
    said = _CONTENT.search(asked[0]) if asked is not None else None
    text = (said[2] or said[3] or b"").decode("latin-1") if said is not None else ""
    directives = [one.strip() for one in text.split(";") if one.strip()]
    if not any(one.split()[0] == "script-src" for one in directives):
        directives.append("script-src 'self'")
    if not any(one.split()[0] == "frame-ancestors" for one in directives):
        directives.append("frame-ancestors 'self'")
    digests = [hashlib.sha256(one).digest() for one in _INLINE_SCRIPT.findall(content)]
    hashes = "".join(f" 'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    policy = "; ".join(one + hashes if one.split()[0] == "script-src" else one for one in directives)
    return Page(content, policy, hashlib.sha256(content).hexdigest()[:32])


def below(base: str, content: bytes) -> bytes:
    """The same with its addresses of /static/ below the path of SiteURL."""
    return _OF_STATIC.sub(rb"\1" + base.encode() + rb"/static/", content) if base else content
