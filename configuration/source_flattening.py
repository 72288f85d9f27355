"""Several modules of a package as one file: what lies behind relative imports stands in the file itself.

The libraries of the Hub load code from single files beside a model, with no package around them. Modules are put one after
another, each behind those that it imports; a top-level name that two of them have is given a longer one in the second.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class SourceModule:
    """A module's text, and what it imports from its own package: per import statement the file and the names."""

    path: Path
    text: str = field(init=False)
    tree: ast.Module = field(init=False)
    imports: list[tuple[ast.ImportFrom, Path, list[ast.alias]]] = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        relative = [node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom) and node.level]
        self.imports = [found for node in relative for found in self._targets(node)]

    def _targets(self, node: ast.ImportFrom) -> list[tuple[ast.ImportFrom, Path, list[ast.alias]]]:
        place = self.path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        if place.with_suffix(".py").is_file() and node.module:
            return [(node, place.with_suffix(".py"), node.names)]
        return [
            (node, place / f"{alias.name}.py", []) for alias in node.names
        ]  # modules, for what importing them does

    def names(self) -> list[str]:
        """What it defines at its top level."""
        found = []
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append(node.name)
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for part in (part for target in targets if target for part in ast.walk(target)):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    found.append(part.id)
        return found


class FlatFile:
    """The modules of `starts` and all that they import, in one text.

    Args:
        starts: files of modules.
        beside: files that are flattened already and will lie beside, by their name without ".py": what is in them is imported.
    """

    def __init__(self, starts: Iterable[Path], beside: Mapping[str, "FlatFile"] | None = None):
        self.modules: dict[Path, SourceModule] = {}
        self.renamed: dict[tuple[Path, str], str] = {}
        self._beside = beside or {}
        self._from_beside: dict[str, set[str]] = {}
        self._external: dict[str, dict[str, bool]] = {}  # name -> statements that import it -> whether as a package
        for start in starts:
            self._add(start)
        self._rename_twins()

    def text(self, introduction: str) -> str:
        """The whole file, which begins with the docstring `introduction`."""
        sections = [self._section(module) for module in self.modules.values()]
        beside = [
            f"from .{name} import (\n" + "".join(f"    {one},\n" for one in sorted(names)) + ")"
            for name, names in sorted(self._from_beside.items())
        ]
        head = [
            f'"""{introduction}"""',
            "\n".join(sorted(text for known in self._external.values() for text in known)),
            *beside,
        ]
        return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join(sections) + "\n"

    def _add(self, path: Path) -> None:
        if path in self.modules or any(path in other.modules for other in self._beside.values()):
            return
        module = SourceModule(path)
        for node, imported, _ in module.imports:
            if node.col_offset == 0:
                self._add(imported)
        self.modules[path] = module

    def _rename_twins(self) -> None:
        owners: dict[str, Path] = {}
        for path, module in self.modules.items():
            for name in module.names():
                if owners.setdefault(name, path) != path:
                    self.renamed[path, name] = f"{name}_of_{path.stem}"

    def _owner(self, path: Path) -> "FlatFile":
        """The flat file that the module at `path` went into, whose name is noted if it is another one than this."""
        return next((other for other in self._beside.values() if path in other.modules), self)

    def _section(self, module: SourceModule) -> str:
        lines, renames, aliases = module.text.splitlines(), {}, []
        for (path, name), new in self.renamed.items():
            if path == module.path:
                renames[name] = new
        for node, path, names in module.imports:
            owner = self._owner(path)
            for alias in names:
                new = owner.renamed.get((path, alias.name), alias.name)
                if alias.asname and alias.asname != new:
                    aliases.append(f"{alias.asname} = {new}")
                elif new != alias.name:
                    renames[alias.name] = new
                if owner is not self:
                    stem = next(stem for stem, other in self._beside.items() if other is owner)
                    self._from_beside.setdefault(stem, set()).add(new)
            _replace(lines, node, "pass" if node.col_offset else "")
        for node in module.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                self._note_external(module, node)
                _replace(lines, node, "")
        text = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines).strip())
        for name, new in renames.items():
            _check_renamable(module, name)
            text = re.sub(rf"(?<![\w.]){name}(?!\w)", new, text)
        head = [f"# {module.path.parent.name}/{module.path.name}", *aliases]
        return "\n".join(head) + f"\n\n{text}"

    def _note_external(self, module: SourceModule, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            one = ast.ImportFrom(node.module, [alias], 0) if isinstance(node, ast.ImportFrom) else ast.Import([alias])
            statement = ast.unparse(one)
            # `import a.b` and `import a.c` bind one and the same `a`; anything else that binds a name twice is two things.
            binds_package = isinstance(node, ast.Import) and alias.asname is None
            known = self._external.setdefault(bound, {})
            other = next((text for text in known if text != statement), None)
            if other is not None and not (binds_package and known[other]):
                raise ValueError(f"{module.path.name} imports {bound!r} by {statement!r}, another module by {other!r}")
            known[statement] = binds_package
            if any(bound in other.names() for other in self.modules.values()):
                raise ValueError(f"{module.path.name} imports {bound!r}, which another module defines")


def _replace(lines: list[str], node: ast.stmt, by: str) -> None:
    """Put `by` in the place of a statement that has its lines for itself."""
    lines[node.lineno - 1] = " " * node.col_offset + by if by else ""
    for index in range(node.lineno, node.end_lineno or node.lineno):
        lines[index] = ""


def _check_renamable(module: SourceModule, name: str) -> None:
    """Raises ValueError if the name means something else as well: an argument, or something inside a class."""
    for node in ast.walk(module.tree):
        inner = node.body if isinstance(node, ast.ClassDef) else []
        if (isinstance(node, ast.arg | ast.keyword) and node.arg == name) or any(
            getattr(part, "name", None) == name for part in inner
        ):
            raise ValueError(f"{module.path.name} has {name!r} with two meanings, which cannot go into one file")
