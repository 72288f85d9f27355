"""Repositories with history, as the Hub keeps them: commits, branches and tags over blobs in a folder."""

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

LARGE = 10 * 2**20
"""Files of this many bytes, and those that are no text, are stored as LFS objects."""


class NotThere(LookupError):
    """A repository, revision or file that does not exist; `code` is what the Hub says in its header X-Error-Code."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Blob:
    """The contents of a file: where it lies by its SHA-256, and what git would call it."""

    sha256: str
    size: int
    git_oid: str
    is_lfs: bool

    @property
    def oid(self) -> str:
        """What the client compares with, and finds as the file's ETag."""
        return self.sha256 if self.is_lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    """One state of a repository."""

    oid: str
    parent: str | None
    title: str
    date: str
    files: Mapping[str, Blob]


class BlobFolder:
    """Contents of files by their SHA-256."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the contents lie, if they are here."""
        return self.folder / sha256

    def add(self, contents: bytes, is_lfs: bool | None = None) -> Blob:
        """Keep contents; what is large or no text is an LFS object unless `is_lfs` says otherwise."""
        sha256 = hashlib.sha256(contents).hexdigest()
        self.path(sha256).write_bytes(contents)
        return self.blob(sha256, is_large_or_binary(contents, len(contents)) if is_lfs is None else is_lfs)

    def blob(self, sha256: str, is_lfs: bool) -> Blob:
        """The contents with this SHA-256. Raises NotThere."""
        if not self.path(sha256).is_file():
            raise NotThere("EntryNotFound", f"no object {sha256} was uploaded")
        contents = self.path(sha256).read_bytes()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(contents)}\n".encode()
        in_git = pointer if is_lfs else contents
        git_oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
        return Blob(sha256, len(contents), git_oid, is_lfs)


def is_large_or_binary(sample: bytes, size: int) -> bool:
    """Whether the Hub takes a file as an LFS object; an empty one it never does."""
    return size > 0 and (size >= LARGE or b"\0" in sample)


@dataclass
class Repository:
    """One repository: its commits by hash, and what branches and tags point at."""

    repo_id: str
    repo_type: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, repo_id: str, repo_type: str, private: bool) -> Self:
        """A repository with one commit, which is empty."""
        repository = cls(repo_id, repo_type, private)
        repository._add("main", None, "initial commit", {})
        return repository

    def find(self, revision: str) -> Commit:
        """The commit of a branch, a tag or a hash, which may be short as on the Hub. Raises NotThere."""
        oid = self.branches.get(revision.removeprefix("refs/heads/")) or self.tags.get(revision, revision)
        found = [commit for name, commit in self.commits.items() if len(oid) >= 7 and name.startswith(oid)]
        if len(found) != 1:
            raise NotThere("RevisionNotFound", f"Invalid rev id: {revision}")
        return found[0]

    def history(self, revision: str) -> Iterable[Commit]:
        """A commit and those before it, the latest first."""
        commit: Commit | None = self.find(revision)
        while commit is not None:
            yield commit
            commit = self.commits.get(commit.parent or "")

    def commit(
        self,
        branch: str,
        title: str,
        added: Mapping[str, Blob],
        deleted: Iterable[str] = (),
        parent: str | None = None,
    ) -> Commit:
        """A new commit on a branch. A name in `deleted` that ends with a slash is a folder.

        Raises NotThere for another branch or a file to delete that is not there, ValueError if the branch is no longer
        at `parent`.
        """
        if branch not in self.branches:
            raise NotThere("RevisionNotFound", f"Invalid rev id: {branch}")
        head = self.commits[self.branches[branch]]
        if parent is not None and parent != head.oid:
            raise ValueError("A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for name in deleted:
            gone = [path for path in files if (path.startswith(name) if name.endswith("/") else path == name)]
            if not gone:
                raise NotThere("EntryNotFound", f"A file with this name doesn't exist: {name}")
            for path in gone:
                del files[path]
        return self._add(branch, head.oid, title, {**files, **added})

    def _add(self, branch: str, parent: str | None, title: str, files: Mapping[str, Blob]) -> Commit:
        written = [
            self.repo_id,
            self.repo_type,
            parent,
            title,
            len(self.commits),
            sorted((p, b.oid) for p, b in files.items()),
        ]
        oid = hashlib.sha1(json.dumps(written).encode()).hexdigest()
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.commits[oid] = Commit(oid, parent, title, date, files)
        self.branches[branch] = oid
        return self.commits[oid]


class Repositories:
    """All repositories of a Hub, by their kind ("model", "dataset", "space") and id."""

    def __init__(self, folder: Path):
        self.blobs = BlobFolder(folder / "blobs")
        self.lock = threading.RLock()
        self._known: dict[tuple[str, str], Repository] = {}

    def create(self, repo_id: str, repo_type: str, private: bool) -> Repository:
        """Raises FileExistsError if it is there already."""
        if (repo_type, repo_id) in self._known:
            raise FileExistsError(f"You already created this {repo_type} repo: {repo_id}")
        self._known[repo_type, repo_id] = Repository.create(repo_id, repo_type, private)
        return self._known[repo_type, repo_id]

    def delete(self, repo_id: str, repo_type: str) -> None:
        """Raises NotThere."""
        self.find(repo_id, repo_type)
        del self._known[repo_type, repo_id]

    def find(self, repo_id: str, repo_type: str) -> Repository:
        """Raises NotThere."""
        if (repo_type, repo_id) not in self._known:
            raise NotThere("RepoNotFound", "Repository not found")
        return self._known[repo_type, repo_id]

    def of_type(self, repo_type: str) -> list[Repository]:
        """All models, or datasets, or spaces."""
        return [repository for (kind, _), repository in self._known.items() if kind == repo_type]
