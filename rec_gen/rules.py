"""Business rules: which items may be recommended, as an expression over the catalog's columns.

A rule is a Python expression of a small kind, such as `price < 20 and "Drama" in genres`. It is
parsed with `ast`, turned into a polars expression node by node, and never evaluated as Python.
"""

import ast
import operator
import unicodedata
from collections.abc import Callable
from datetime import datetime
from keyword import iskeyword
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.errors import RuleError


def can_stand_in_a_rule(column: str) -> bool:
    """Whether a rule can name a column: Python must read it as this name."""
    read_as = unicodedata.normalize("NFKC", column)
    return column.isidentifier() and not iskeyword(column) and column == read_as


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_HINT = "use columns, numbers, texts, comparisons, in, and, or, not, + - * /"


def eligible_items(catalog: Catalog, rule: str) -> npt.NDArray[np.bool_]:
    """Which items a rule lets through; an item whose value is missing or NaN does not pass.

    Args:
        catalog: The items.
        rule: For example `price < 20 and category in {"Drama", "Comedy"} and not sold_out`.

    Returns:
        bool [items], by catalog position.

    Raises:
        RuleError: The rule cannot be parsed, names no column, or compares what cannot be.
    """
    try:
        tree = ast.parse(rule.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RuleError(f"rule '{rule}': cannot be read ({error}); {_HINT}") from error
    reader = _Reader(rule, catalog.frame.schema)
    try:
        passed = catalog.frame.select(rule=reader.read(tree.body))["rule"]
    except RecursionError as error:
        raise RuleError(f"rule '{rule}': is nested too deeply; {_HINT}") from error
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise RuleError(f"rule '{rule}': {reason}") from error
    if passed.dtype != pl.Boolean:
        raise RuleError(f"rule '{rule}': gives {passed.dtype} instead of yes or no; compare it")
    if len(passed) != len(catalog):
        raise RuleError(f"rule '{rule}': names no column; {reader.columns}")
    return passed.fill_null(value=False).to_numpy()


class _Reader:
    def __init__(self, rule: str, schema: pl.Schema) -> None:
        self._rule, self._schema = rule, schema
        self.columns = f"columns are {', '.join(schema)}"

    def read(self, node: ast.expr) -> Any:
        """The polars expression, or the plain value, of a node."""
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._expression(value) for value in values]
                return _joined(operator.and_ if isinstance(op, ast.And) else operator.or_, parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._expression(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self._expression(left), self.read(right))
            case ast.Compare():
                return self._compare(node)
            case ast.Name(id=name):
                if name not in self._schema:
                    raise RuleError(f"rule '{self._rule}': there is no column '{name}'; "
                                    f"{self.columns}")  # fmt: skip
                column = pl.col(name)
                return column.fill_nan(None) if self._schema[name].is_float() else column
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
        raise RuleError(f"rule '{self._rule}': '{ast.unparse(node)}' is not allowed; {_HINT}")

    def _compare(self, node: ast.Compare) -> Any:
        """A chain of comparisons, all of which must hold."""
        terms = [node.left, *node.comparators]
        chain = None
        for left, op, right in zip(terms, node.ops, terms[1:], strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                step = self._contains(left, right)
                step = ~step if isinstance(op, ast.NotIn) else step
            elif type(op) in _COMPARE:
                step = _COMPARE[type(op)](self._beside(left, right), self._beside(right, left))
            else:
                return self.read(ast.Set(elts=[]))  # `is` is refused as any other node
            chain = step if chain is None else chain & step
        return chain

    def _beside(self, node: ast.expr, other: ast.expr) -> pl.Expr:
        """One side of a comparison; beside a column of dates, a text is a date."""
        dtype = self._schema.get(other.id) if isinstance(other, ast.Name) else None
        if dtype is None or not dtype.is_temporal() or not isinstance(node, ast.Constant):
            return self._expression(node)
        try:
            return pl.lit(datetime.fromisoformat(str(node.value))).cast(dtype)
        except ValueError as error:
            raise RuleError(
                f"rule '{self._rule}': {ast.unparse(node)} is no date; write it as '2024-05-31'"
            ) from error

    def _contains(self, left: ast.expr, right: ast.expr) -> Any:
        """`column in {…}` over plain values, or `value in column` over a column of lists."""
        if isinstance(right, ast.Set | ast.List | ast.Tuple):
            return self._expression(left).is_in([self.read(value) for value in right.elts])
        column = self._expression(right)
        dtype = self._schema[right.id] if isinstance(right, ast.Name) else None
        if isinstance(dtype, pl.List):
            return column.list.contains(self.read(left))
        if isinstance(dtype, pl.Array):
            return column.arr.contains(self.read(left))
        return column.str.contains(self.read(left), literal=True)

    def _expression(self, node: ast.expr) -> pl.Expr:
        value = self.read(node)
        return value if isinstance(value, pl.Expr) else pl.lit(value)


def _joined(join: Callable[[Any, Any], Any], parts: list[pl.Expr]) -> Any:
    """The parts as a balanced tree, since polars takes very long over a deep one."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return join(_joined(join, parts[:middle]), _joined(join, parts[middle:]))
