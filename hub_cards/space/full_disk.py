"""Uploads are refused while the disk is nearly full: Gradio keeps each for an hour, and counts none of them."""

import shutil
import tempfile
from http import HTTPStatus

from clip_limits import MIN_FREE_BYTES
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

DISK_IS_FULL = "The app has no room for another file now: come back in an hour, or look at an example."


class FullDiskRefusal:
    """ASGI middleware: answers an upload with status 507 and a sentence, unread, if less than MIN_FREE_BYTES are free."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        is_upload = scope["type"] == "http" and scope["path"].rstrip("/").endswith("/upload")
        if is_upload and shutil.disk_usage(tempfile.gettempdir()).free < MIN_FREE_BYTES:
            response = PlainTextResponse(DISK_IS_FULL, HTTPStatus.INSUFFICIENT_STORAGE)
            return await response(scope, receive, send)
        return await self._app(scope, receive, send)
