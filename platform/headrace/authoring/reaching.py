"""Which statements of a source file a function depends on, names followed one by one."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Collection, Iterator


def reachable(
    tree: ast.Module, function: str, *, project: Callable[[ast.AST], bool]
) -> list[ast.stmt] | None:
    """The module-level statements that `function` needs, in file order; None if it is not there.

    Args:
        tree: The file.
        function: A function's name.
        project: Tells whether an import statement names a module of the project.
    """
    bound: dict[str, list[int]] = {}
    for index, statement in enumerate(tree.body):
        for name in _bound(statement):
            bound.setdefault(name, []).append(index)
    if not any(_is_function(tree.body[i], function) for i in bound.get(function, ())):
        return None
    libraries = {
        name
        for name, places in bound.items()
        if all(_is_import(tree.body[one]) and not project(tree.body[one]) for one in places)
    }
    always = [i for i, one in enumerate(tree.body) if _acts(one, libraries)]
    wanted: set[int] = set()
    todo = [*bound[function], *always]
    while todo:
        index = todo.pop()
        if index in wanted:
            continue
        wanted.add(index)
        for node in ast.walk(tree.body[index]):
            if isinstance(node, ast.Name):
                todo += bound.get(node.id, [])
    return [tree.body[index] for index in sorted(wanted)]


def _acts(statement: ast.stmt, libraries: Collection[str]) -> bool:
    """Whether a module-level statement may do more on import than bind its own names.

    It may if it calls, deletes or assigns into something, imports `*`, or decorates with
    the project's own: a decorator may put its function into a table. Libraries' decorators,
    ours among them, do not reach into the project.
    """
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            roots = {_root(one) for one in statement.decorator_list}
            return not roots <= {*libraries, *dir(builtins)}
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return True
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global():
            return False
        case ast.Expr():
            return not isinstance(statement.value, ast.Constant)
        case ast.Assign(targets=targets):
            return not all(_is_plain(one) for one in targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return not _is_plain(target)
        case ast.If() | ast.Try() | ast.TryStar() | ast.For() | ast.While() | ast.With():
            inner = [one for one in ast.iter_child_nodes(statement) if isinstance(one, ast.stmt)]
            for handler in getattr(statement, "handlers", ()):
                inner += handler.body
            return any(_acts(one, libraries) for one in inner)
        case _:
            return not list(_bound(statement))


def _root(expression: ast.expr) -> str:
    """The name that a decorator begins with."""
    while not isinstance(expression, ast.Name):
        match expression:
            case ast.Call(func=inner) | ast.Attribute(value=inner) | ast.Subscript(value=inner):
                expression = inner
            case _:
                return ""
    return expression.id


def _is_plain(target: ast.expr) -> bool:
    """Whether an assignment's target is made of names alone."""
    if isinstance(target, ast.Tuple | ast.List):
        return all(_is_plain(one) for one in target.elts)
    if isinstance(target, ast.Starred):
        return _is_plain(target.value)
    return isinstance(target, ast.Name)


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _is_function(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for node in ast.walk(statement)
    )


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The module-level names that a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield alias.asname or alias.name.partition(".")[0]
