"""What the loopback Hub answers: one method for each kind of request that huggingface_hub makes."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import yaml
from hub_metadata import metadata_problems
from hub_repositories import Blob, NotThere, Repositories, Repository, is_large_or_binary


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers; of the body of a file, ranges may be asked for."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_file: bool = False


def said(value: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json; charset=utf-8"})


def refusal(status: int, code: str | None, message: str, **headers: str) -> Answer:
    """An error as the Hub reports it: in the body and in headers."""
    if code is not None:
        headers["X-Error-Code"] = code
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    known = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": message, **headers}
    return Answer(json.dumps({"error": message}).encode(), status, known)


ORGANIZATIONS = {"tester": {"Guild": "write", "Library": "read", "Workshop": "contributor"}}
"""Of each user, with what they may do there; contributors write to what they have made (here: to nothing that is there)."""

READERS = {"reader"}
"""Users whose tokens are for reading."""


class HubAnswers:
    """Takes the parts of an address, who asks (None: nobody), the body and the query; `NotThere` becomes 404 or 401."""

    def __init__(self, repositories: Repositories):
        self.repositories = repositories
        self.port = 0

    def _repository(self, kind: str, repo: str, user: str | None, **_: Any) -> Repository:
        """Private repositories of others look as if they were not there."""
        repository = self.repositories.find(repo, kind.removesuffix("s"))
        if repository.private and user != repo.split("/")[0]:
            raise NotThere("RepoNotFound", "Repository not found")
        return repository

    def _may_not_write(self, repo: str, user: str | None) -> Answer | None:
        if user is None:
            return refusal(401, None, "Invalid username or password.")
        owner, roles = repo.split("/")[0], {user: "admin", **ORGANIZATIONS.get(user, {})}
        known = {one.repo_id for kind in ("model", "dataset") for one in self.repositories.of_type(kind)}
        role = roles.get(owner, "read")
        if user in READERS or role == "read" or (role == "contributor" and repo in known):
            return refusal(403, None, f"You don't have the rights to write to {repo}.")
        return None

    # --- users and repositories ------------------------------------------------------------------------------------------

    def who_am_i(self, user: str | None, **_: Any) -> Answer:
        if user is None:
            return refusal(401, None, "Invalid username or password.")
        token = {"displayName": "test", "role": "read" if user in READERS else "write"}
        roles = ORGANIZATIONS.get(user, {})
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in roles.items()]
        return said({"type": "user", "name": user, "fullname": user, "orgs": orgs, "auth": {"accessToken": token}})

    def validate_card(self, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        if not asked["content"].startswith("---"):
            return said({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
        problems = metadata_problems(asked["content"], asked["repoType"])
        errors = [{"message": problem} for problem in problems]
        return said({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self, user: str | None, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or user}/{asked['name']}"
        if refused := self._may_not_write(repo, user):
            return refused
        kind = asked.get("type") or "model"
        address = f"http://127.0.0.1:{self.port}/{'' if kind == 'model' else kind + 's/'}{repo}"
        private = asked.get("visibility") == "private" or asked.get("private") is True
        try:
            self.repositories.create(repo, kind, private)
        except FileExistsError as known:
            return said({"error": str(known), "url": address}, 409)
        return said({"url": address, "name": repo, "id": repo})

    def delete(self, user: str | None, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or user}/{asked['name']}"
        if refused := self._may_not_write(repo, user):
            return refused
        self.repositories.delete(repo, asked.get("type") or "model")
        return said({})

    def list_repositories(self, user: str | None, kind: str, query: Mapping[str, str], **_: Any) -> Answer:
        known = self.repositories.of_type(kind.removesuffix("s"))
        seen = [one for one in known if not one.private or user == one.repo_id.split("/")[0]]
        author = query.get("author")
        return said([self._info(one, "main") for one in seen if author in (None, one.repo_id.split("/")[0])])

    def check_access(self, **asked: Any) -> Answer:
        self._repository(**asked)
        return said({})

    def check_write_access(self, repo: str, user: str | None, **asked: Any) -> Answer:
        self._repository(repo=repo, user=user, **asked)
        return self._may_not_write(repo, user) or said({})

    # --- revisions -------------------------------------------------------------------------------------------------------

    def info(self, revision: str = "main", **asked: Any) -> Answer:
        return said(self._info(self._repository(**asked), revision))

    def _info(self, repository: Repository, revision: str) -> dict[str, Any]:
        commit = repository.find(revision)
        card = commit.files.get("README.md")
        text = self.repositories.blobs.path(card.sha256).read_text("utf-8") if card else ""
        data = yaml.safe_load(text[4 : text.index("\n---", 3)]) if text.startswith("---\n") else {}
        files = [
            {"rfilename": name, "size": blob.size, "blobId": blob.git_oid, **_lfs(blob)}
            for name, blob in sorted(commit.files.items())
        ]
        return {
            "_id": repository.repo_id,
            "id": repository.repo_id,
            **({"modelId": repository.repo_id} if repository.repo_type == "model" else {}),
            "author": repository.repo_id.split("/")[0],
            "sha": commit.oid,
            "lastModified": commit.date,
            "createdAt": commit.date,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": list(data.get("tags", [])),
            "cardData": data,
            **{key: data[key] for key in ("library_name", "pipeline_tag", "sdk") if key in data},
            "siblings": files,
        }

    def refs(self, **asked: Any) -> Answer:
        repository = self._repository(**asked)
        kinds = {"branches": ("heads", repository.branches), "tags": ("tags", repository.tags)}
        named = {
            kind: [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in refs.items()]
            for kind, (folder, refs) in kinds.items()
        }
        return said({**named, "converts": [], "pullRequests": []})

    def commits(self, revision: str, **asked: Any) -> Answer:
        repository = self._repository(**asked)
        user = [{"user": repository.repo_id.split("/")[0]}]
        return said(
            [
                {"id": commit.oid, "title": commit.title, "message": "", "authors": user, "date": commit.date}
                for commit in repository.history(revision)
            ]
        )

    def create_branch(self, repo: str, revision: str, user: str | None, body: bytes, **asked: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        repository = self._repository(repo=repo, user=user, **asked)
        if revision in repository.branches:
            return refusal(409, None, f"Reference already exists: {revision}")
        repository.branches[revision] = repository.find(json.loads(body or b"{}").get("startingPoint", "main")).oid
        return said({})

    def delete_branch(self, repo: str, revision: str, user: str | None, **asked: Any) -> Answer:
        return self._remove(repo, revision, user, "branches", **asked)

    def create_tag(self, repo: str, revision: str, user: str | None, body: bytes, **asked: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        repository, name = self._repository(repo=repo, user=user, **asked), json.loads(body)["tag"]
        if name in repository.tags:
            return refusal(409, None, f"Tag reference exists already: {name}")
        repository.tags[name] = repository.find(revision).oid
        return said({})

    def delete_tag(self, repo: str, revision: str, user: str | None, **asked: Any) -> Answer:
        return self._remove(repo, revision, user, "tags", **asked)

    def _remove(self, repo: str, name: str, user: str | None, kind_of_ref: str, **asked: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        if getattr(self._repository(repo=repo, user=user, **asked), kind_of_ref).pop(name, None) is None:
            raise NotThere("RevisionNotFound", f"Invalid rev id: {name}")
        return said({})

    # --- files -----------------------------------------------------------------------------------------------------------

    def tree(self, revision: str, query: Mapping[str, str], folder: str = "", **asked: Any) -> Answer:
        commit = self._repository(**asked).find(revision)
        start = f"{folder}/" if folder else ""
        inside = {name: blob for name, blob in commit.files.items() if name.startswith(start)}
        if folder and not inside:
            raise NotThere("EntryNotFound", f"{folder} does not exist on {revision}")
        entries, recursive = [], query.get("recursive", "").lower() in ("true", "1")
        folders = {name[:index] for name in inside for index in range(len(start), len(name)) if name[index] == "/"}
        entries += [_folder(name) for name in sorted(folders) if recursive or "/" not in name[len(start) :]]
        entries += [
            _file(name, blob) for name, blob in sorted(inside.items()) if recursive or "/" not in name[len(start) :]
        ]
        return said(entries)

    def paths_info(self, revision: str, body: bytes, **asked: Any) -> Answer:
        files = self._repository(**asked).find(revision).files
        paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
        found = [_file(path, files[path]) for path in paths if path in files]
        found += [_folder(path) for path in paths if any(name.startswith(f"{path}/") for name in files)]
        return said(found)

    def resolve(self, revision: str, name: str, kind: str = "models", **asked: Any) -> Answer:
        commit = self._repository(kind=kind, **asked).find(revision)
        blob = commit.files.get(name)
        if blob is None:
            return refusal(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit.oid)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        if blob.is_lfs:  # the Hub sends such files from another host
            linked = {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
            location = f"http://localhost:{self.port}/lfs/{blob.sha256}"
            return Answer(b"", 302, {**headers, **linked, "Location": location})
        return Answer(self.repositories.blobs.path(blob.sha256).read_bytes(), 200, headers, is_file=True)

    def download(self, sha256: str, **_: Any) -> Answer:
        blob = self.repositories.blobs.blob(sha256, is_lfs=True)
        headers = {"ETag": f'"{blob.sha256}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        return Answer(self.repositories.blobs.path(sha256).read_bytes(), 200, headers, is_file=True)

    # --- uploads ---------------------------------------------------------------------------------------------------------

    def before_upload(self, repo: str, revision: str, user: str | None, body: bytes, **asked: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        known = self._repository(repo=repo, user=user, **asked).find(revision).files
        answers = []
        for file in json.loads(body)["files"]:
            is_lfs = is_large_or_binary(base64.b64decode(file["sample"]), file["size"])
            oid = known[file["path"]].oid if file["path"] in known else None
            mode = "lfs" if is_lfs else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return said({"files": answers})

    def lfs_batch(self, repo: str, user: str | None, body: bytes, kind: str = "models", **_: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        self._repository(kind, repo, user)
        start = f"http://127.0.0.1:{self.port}/lfs/"
        objects = []
        for asked in json.loads(body)["objects"]:
            actions = {"upload": {"href": start + asked["oid"]}, "verify": {"href": start + "verify"}}
            is_here = self.repositories.blobs.path(asked["oid"]).is_file()
            objects.append({**asked, "authenticated": True, **({} if is_here else {"actions": actions})})
        return said({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})

    def upload(self, sha256: str, body: bytes, **_: Any) -> Answer:
        if hashlib.sha256(body).hexdigest() != sha256:
            return refusal(422, None, "the object is not what its name says")
        self.repositories.blobs.add(body)
        return Answer()

    def verify(self, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        if self.repositories.blobs.blob(asked["oid"], is_lfs=True).size != asked["size"]:
            return refusal(422, None, "the object has another size")
        return said({})

    def commit(self, repo: str, revision: str, user: str | None, body: bytes, **asked: Any) -> Answer:
        if refused := self._may_not_write(repo, user):
            return refused
        repository, blobs = self._repository(repo=repo, user=user, **asked), self.repositories.blobs
        title, parent, added, deleted = "", None, {}, []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                title, parent = value["summary"], value.get("parentCommit")
            elif line["key"] == "file":
                added[value["path"]] = blobs.add(base64.b64decode(value["content"]), is_lfs=False)
            elif line["key"] == "lfsFile":
                added[value["path"]] = blobs.blob(value["oid"], is_lfs=True)
            else:
                is_folder = line["key"] == "deletedFolder"
                deleted.append(value["path"].rstrip("/") + ("/" if is_folder else ""))
        if any(part in ("", ".", "..") for name in added for part in name.split("/")):
            return refusal(400, None, "a file's name is not allowed")
        try:
            commit = repository.commit(revision, title, added, deleted, parent)
        except ValueError as late:
            return refusal(412, None, str(late))
        address = f"http://127.0.0.1:{self.port}/{repo}/commit/{commit.oid}"
        return said({"success": True, "commitOid": commit.oid, "commitUrl": address, "pullRequestUrl": None})


def _lfs(blob: Blob) -> dict[str, Any]:
    """How listings tell of an LFS object."""
    if not blob.is_lfs:
        return {}
    return {"lfs": {"oid": blob.sha256, "sha256": blob.sha256, "size": blob.size, "pointerSize": 134}}


def _file(name: str, blob: Blob) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": blob.size, "oid": blob.git_oid, **_lfs(blob)}


def _folder(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}
