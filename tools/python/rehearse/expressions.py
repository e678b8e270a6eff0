"""Conditions over dotted keys: "plan.tensor_parallel * plan.pipeline_parallel <= 8"."""

import ast
import operator

_BINARY = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


class Condition:
    """Arithmetic and comparisons over the keys of a point; nothing else is evaluated."""

    def __init__(self, text):
        self.text = text
        self.tree = ast.parse(text, mode="eval").body

    def holds(self, point):
        return bool(self._value(self.tree, point))

    def _value(self, node, point):
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return self._key(ast.unparse(node), point)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](self._value(left, point), self._value(right, point))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand, point)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, point)
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._value(v, point) for v in values)
            case ast.BoolOp(op=ast.Or(), values=values):
                return any(self._value(v, point) for v in values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self._value(n, point) for n in [left, *others]]
                return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, values, values[1:]))
        raise ValueError(f"'{self.text}': {ast.unparse(node)} is neither a key nor arithmetic")

    def _key(self, name, point):
        if name in point:
            return point[name]
        raise ValueError(f"'{self.text}': {name} is not varied; keys are {', '.join(point)}")
