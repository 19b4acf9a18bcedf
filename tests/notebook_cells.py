"""Which cells of a notebook have to run again when some of its cells are replaced by others.

The two versions of a lesson, with its exercises open and solved, differ in a few cells. Every other cell does the same
in both, unless it uses what those make: a name that is bound or an object that is changed there, or in a cell that has
to run again itself. A function uses what its body uses.

What the names do not show is missed: an argument that a function changes in place, an object under two names, a state
of a library. Running both versions whole (``PETTUTOR_WHOLE=1``, see test_notebooks.py) misses nothing.
"""

import ast
import copy
import symtable
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager


@dataclass
class Cell:
    """What the code of a cell has to do with the names of its notebook."""

    reads: set = field(default_factory=set)  # of what was there before it
    binds: set = field(default_factory=set)
    changes: set = field(default_factory=set)  # objects that it may change in place
    modules: set = field(default_factory=set)
    bodies: dict = field(default_factory=dict)  # of a function or a class: what it reads when it is called


def cells_to_run_again(before, after):
    """The cells of ``after`` that may give something else than those of ``before``.

    Parameters
    ----------
    before, after : list of str
        Code cells of the two versions, as many.

    Returns
    -------
    dict of int to set of str
        Number of a cell that has to run, and those of the names it uses that are as they were before it in ``before``.
    """
    again, touched, bodies, modules = {}, set(), {}, set()
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        cell, other = look_at(new), look_at(old)
        modules |= cell.modules
        bodies |= cell.bodies
        reads = cell.reads | _when_called(cell.reads | set(cell.bodies), bodies) - cell.binds
        if old != new or reads & touched:
            again[number] = reads - touched
            touched |= (cell.binds | other.binds | cell.changes | other.changes) - modules
        else:
            touched -= cell.binds
            for name in cell.binds - set(cell.bodies):
                bodies.pop(name, None)
    return again


def look_at(source):
    """The names of a cell; IPython's own lines (``%``, ``!``) may be among its code."""
    cell = Cell()
    _follow(ast.parse(TransformerManager().transform_cell(source)).body, cell, set())
    return cell


def _follow(statements, cell, bound):
    """Go through statements in the order in which they run; ``bound`` are the names that the cell has surely bound."""
    for statement in statements:
        if isinstance(statement, ast.For):
            _add(_value(statement.iter), cell, bound)
            targets = _targets(statement.target)
            cell.binds |= targets
            _follow(statement.body, cell, bound | targets)
            _follow(statement.orelse, cell, set(bound))
        elif isinstance(statement, ast.If | ast.While):
            _add(_value(statement.test), cell, bound)
            _follow(statement.body, cell, set(bound))
            _follow(statement.orelse, cell, set(bound))
        elif isinstance(statement, ast.With):
            for item in statement.items:
                _add(_value(item.context_expr), cell, bound)
                targets = _targets(item.optional_vars) if item.optional_vars else set()
                cell.binds |= targets
                bound |= targets
            _follow(statement.body, cell, bound)
        elif isinstance(statement, ast.Try):
            for part in (statement.body, statement.orelse, statement.finalbody):
                _follow(part, cell, set(bound))
            for handler in statement.handlers:
                _follow(handler.body, cell, bound | {handler.name})
        else:
            _add(statement, cell, bound)


def _value(expression):
    """An expression whose value is used, as a statement."""
    return ast.Assert(expression)


class _OwnScopes(ast.NodeTransformer):
    """Comprehensions become functions: in Python's tables of symbols they have no scope of their own from 3.12 on."""

    def visit_ListComp(self, node):
        self.generic_visit(node)
        if any(isinstance(part, ast.NamedExpr) for part in ast.walk(node)):  # := binds a name of the cell
            return node
        arguments = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        return ast.Call(func=ast.Lambda(args=arguments, body=node), args=[], keywords=[])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp


def _add(statement, cell, bound):
    table = symtable.symtable(ast.unparse(_OwnScopes().visit(copy.deepcopy(statement))), "cell", "exec")
    reads = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    binds = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    body = set().union(*map(_globals_of, table.get_children()))
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        cell.bodies[statement.name] = body
    else:
        reads |= body  # comprehensions run at once
        if any(isinstance(node, ast.Lambda) for node in ast.walk(statement)):
            cell.bodies |= dict.fromkeys(binds, body)
    if isinstance(statement, ast.AugAssign):
        reads |= _targets(statement.target)
    if isinstance(statement, ast.Import | ast.ImportFrom):
        cell.modules |= binds
    cell.reads |= reads - bound
    cell.changes |= _changed(statement)
    cell.binds |= binds
    bound |= binds


def _targets(node):
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def _globals_of(table):
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return found.union(*map(_globals_of, table.get_children()))


def _changed(statement):
    """Objects with an item or attribute set, a value added in place, or a method called for what it does to them."""
    found, at_once = set(), not isinstance(statement, ast.FunctionDef | ast.ClassDef)
    for node in ast.walk(statement):
        if isinstance(node, ast.AugAssign):
            found.add(_root(node.target))
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found.add(_root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Attribute):  # its value is not used
                found.add(_root(node.value.func))
        elif (
            at_once and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fit"
        ):
            found.add(_root(node.func))  # of Keras, whose value is used, too
    return found - {None}


def _root(node):
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _when_called(names, bodies):
    """What is read by the functions among names, and by those that they call."""
    found, waiting = set(), list(names)
    while waiting:
        new = bodies.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found
