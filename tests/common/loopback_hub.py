"""A Hub on loopback, for tests: what huggingface_hub asks for when models, datasets and Spaces are pushed and loaded.

Repositories have history (`hub_repositories`), so `revision=` takes a branch, a tag or a commit. It is not Xet: clients upload
LFS objects in the basic way. huggingface_hub reads its settings when it is imported, so use it from a child process:

    def test_push(hub):                                       # a fixture of conftest.py in this folder's parent
        subprocess.run([...], env=hub.environment(home))      # HF_ENDPOINT, HF_HOME, HF_TOKEN and so on
        assert "config.json" in hub.files("tester/model")
"""

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_answers import Answer, HubAnswers, refusal
from hub_repositories import Commit, NotThere, Repositories

USERS = {"hf_tester": "tester", "hf_stranger": "stranger", "hf_reader": "reader"}
"""Tokens and whose they are; a user writes under its own name alone, and reads its own private repositories alone."""


@dataclass(frozen=True)
class Request:
    """One request that came in."""

    method: str
    path: str  # with the query, as it was sent
    user: str | None
    user_agent: str


class LoopbackHub:
    """The Hub: `start`, `stop`, `start` again with all its contents at the same address; or `with LoopbackHub(folder)`."""

    def __init__(self, folder: Path):
        self.repositories = Repositories(folder)
        self.requests: list[Request] = []
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    def start(self) -> None:
        """Listen; the first time on any free port, then on the same one."""
        answers = HubAnswers(self.repositories)
        handler = type("Handler", (_Handler,), {"hub": self, "answers": answers})
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = answers.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> "LoopbackHub":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT says."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self, home: Path, token: str | None = "hf_tester", **others: str) -> dict[str, str]:
        """The environment of a process that uses this Hub, with its cache in `home`; without a token it is anonymous."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HF_") and name.lower() not in ("http_proxy", "https_proxy", "all_proxy")
        }
        settings = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DISABLE_SAFETENSORS_CONVERSION": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **({} if token is None else {"HF_TOKEN": token}),
        }
        return {**inherited, **settings, **others}

    # --- what tests look at and put there without a client ---------------------------------------------------------------

    def commit(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> Commit:
        """The commit that a revision names; `commit(...).files` are its files by name."""
        with self.repositories.lock:
            return self.repositories.find(repo_id, repo_type).find(revision)

    def files(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> list[str]:
        """The names of the files."""
        return sorted(self.commit(repo_id, revision, repo_type).files)

    def read(self, repo_id: str, name: str, revision: str = "main", repo_type: str = "model") -> bytes:
        """The contents of a file."""
        blob = self.commit(repo_id, revision, repo_type).files[name]
        return self.repositories.blobs.path(blob.sha256).read_bytes()

    def write(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        repo_type: str = "model",
        branch: str = "main",
        private: bool = False,
    ) -> Commit:
        """A commit with these files, without a client's checks of their names; makes the repository where there is none."""
        with self.repositories.lock:
            try:
                repository = self.repositories.find(repo_id, repo_type)
            except NotThere:
                repository = self.repositories.create(repo_id, repo_type, private)
            added = {name: self.repositories.blobs.add(contents) for name, contents in files.items()}
            return repository.commit(branch, "written by a test", added)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, finds who sent it, and sends what `HubAnswers` says."""

    hub: LoopbackHub
    answers: HubAnswers
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        body = self._body()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        user = USERS.get(token)
        self.hub.requests.append(Request(self.command, self.path, user, self.headers.get("User-Agent", "")))
        if token and user is None:
            answer = refusal(401, None, "Invalid credentials in Authorization header")
        else:
            answer = self._answer_of(user, body)
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _answer_of(self, user: str | None, body: bytes) -> Answer:
        address = urlsplit(self.path)
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, answer in ROUTES:
            found = re.fullmatch(pattern, address.path) if verb == method else None
            if found:
                parts = {name: unquote(part) for name, part in found.groupdict().items() if part is not None}
                query = {name: values[-1] for name, values in parse_qs(address.query).items()}
                try:
                    with self.hub.repositories.lock:
                        return answer(self.answers, user=user, body=body, query=query, **parts)
                except NotThere as missing:
                    return refusal(404 if user or missing.code != "RepoNotFound" else 401, missing.code, str(missing))
        return refusal(404, None, f"{method} {address.path} is not known to this Hub")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        body, status, headers = answer.body, answer.status, dict(answer.headers)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and status == 200 and answer.is_file:
            first, last = asked.groups()
            start = int(first) if first else max(len(body) - int(last or 0), 0)
            end = min(int(last), len(body) - 1) if first and last else len(body) - 1
            if start > end:
                body, status, headers["Content-Range"] = b"", 416, f"bytes */{len(body)}"
            else:
                headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
                body, status = body[start : end + 1], 206
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the requests are kept instead."""


KIND = r"/api/(?P<kind>models|datasets|spaces)"
REPOSITORY = KIND + r"/(?P<repo>[^/]+(?:/[^/]+)?)"
FILES = r"(?:/(?P<kind>datasets|spaces))?/(?P<repo>[^/]+(?:/[^/]+)?)"
REVISION = r"/(?P<revision>[^/]+)"

ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/whoami-v2", HubAnswers.who_am_i),
    ("POST", "/api/validate-yaml", HubAnswers.validate_card),
    ("POST", "/api/repos/create", HubAnswers.create),
    ("DELETE", "/api/repos/delete", HubAnswers.delete),
    ("GET", KIND, HubAnswers.list_repositories),
    ("GET", REPOSITORY + "/auth-check", HubAnswers.check_access),
    ("GET", REPOSITORY + "/auth-check/write", HubAnswers.check_write_access),
    ("GET", REPOSITORY + "/refs", HubAnswers.refs),
    ("GET", REPOSITORY + "/commits" + REVISION, HubAnswers.commits),
    ("GET", REPOSITORY + "/tree" + REVISION + "(?:/(?P<folder>.+))?", HubAnswers.tree),
    ("POST", REPOSITORY + "/paths-info" + REVISION, HubAnswers.paths_info),
    ("POST", REPOSITORY + "/preupload" + REVISION, HubAnswers.before_upload),
    ("POST", REPOSITORY + "/commit" + REVISION, HubAnswers.commit),
    ("POST", REPOSITORY + "/branch" + REVISION, HubAnswers.create_branch),
    ("DELETE", REPOSITORY + "/branch" + REVISION, HubAnswers.delete_branch),
    ("POST", REPOSITORY + "/tag" + REVISION, HubAnswers.create_tag),
    ("DELETE", REPOSITORY + "/tag" + REVISION, HubAnswers.delete_tag),
    ("GET", REPOSITORY + "/revision" + REVISION, HubAnswers.info),
    ("GET", REPOSITORY, HubAnswers.info),
    ("POST", FILES + r"\.git/info/lfs/objects/batch", HubAnswers.lfs_batch),
    ("PUT", r"/lfs/(?P<sha256>[0-9a-f]{64})", HubAnswers.upload),
    ("POST", "/lfs/verify", HubAnswers.verify),
    ("GET", r"/lfs/(?P<sha256>[0-9a-f]{64})", HubAnswers.download),
    ("GET", FILES + "/resolve" + REVISION + "/(?P<name>.+)", HubAnswers.resolve),
]
