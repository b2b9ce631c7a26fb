"""Follows the argument checks of one release, statement by statement, and collects what they refuse."""

from __future__ import annotations

import ast

from refusals.expressions import Expressions, Frame

ENTRIES = ("ServerArgs.__post_init__", "run_resolution_pipeline", "check_server_args", "ServerArgs.check_server_args")
DEPTH = 12
SWALLOWED = {"Exception", "BaseException", "ValueError", "AssertionError", ""}


class Follower(Expressions):
    """Follows the checks of one release and collects what they refuse."""

    def run(self) -> dict[tuple[str, str], int]:
        """For each message and place the condition under which it stops the launch."""
        for entry in ENTRIES:
            held = self.source.functions.get(entry)
            if held:
                self._call(entry, held, {}, self.nodes.true, 0, (), False)
        return {key: self.nodes.both("or", nodes) for key, nodes in self.found.items()}

    def _call(
        self, name: str, held: tuple[ast.FunctionDef, str], given: dict[str, int], path: int, depth: int,
        stack: tuple[str, ...], doubtful: bool,
    ) -> int:  # fmt: skip
        function, file = held
        if depth > DEPTH or name in stack:
            self._spoil(function)
            return self.nodes.unknown
        frame = Frame(dict(given), depth, f"{file}:{name}", (*stack, name))
        end = self._block(function.body, path, self.nodes.true, frame, doubtful)
        value = self.nodes.constant(None)
        for condition, state, returned in reversed(frame.returns):
            if end is None:
                self.state, value, end = dict(state), returned, self.nodes.true
                continue
            self.state = self._merged(condition, state, self.state)
            value = self.nodes.either(condition, returned, value)
        return value

    def _spoil(self, node: ast.AST) -> None:
        for inner in ast.walk(node):
            for field in self._written(inner):
                self.state[field] = self.nodes.unknown

    def _written(self, node: ast.AST) -> list[str]:
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return [t.attr for t in targets if isinstance(t, ast.Attribute) and t.attr in self.source.fields]
        return []

    def _merged(self, test: int, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        out = dict(other)
        for name in one.keys() | other.keys():
            left = one.get(name, self._initial(name))
            right = other.get(name, self._initial(name))
            if left != right:
                out[name] = self.nodes.either(test, left, right)
        return out

    def _block(self, body: list[ast.stmt], path: int, here: int, frame: Frame, doubtful: bool) -> int | None:
        """Follow statements; ``here`` is the condition within the function. None where the end is never reached."""
        nodes = self.nodes
        for statement in body:
            reached = nodes.both("and", [path, here])
            if isinstance(statement, ast.If):
                test = self._condition(statement.test, frame, reached, doubtful)
                before, names = dict(self.state), dict(frame.variables)
                one = self._block(statement.body, path, nodes.both("and", [here, test]), frame, doubtful)
                state, variables = self.state, frame.variables
                self.state, frame.variables = dict(before), dict(names)
                no = nodes.negated(test)
                other = self._block(statement.orelse, path, nodes.both("and", [here, no]), frame, doubtful)
                if one is None and other is None:
                    return None
                if one is None:
                    if self._raises(statement.body):
                        continue
                    here = nodes.both("and", [here, no])
                elif other is None:
                    self.state, frame.variables = state, variables
                    if not self._raises(statement.orelse):
                        here = nodes.both("and", [here, test])
                else:
                    self.state = self._merged(test, state, self.state)
                    frame.variables = self._joined(test, variables, frame.variables)
            elif isinstance(statement, ast.Return):
                value = (
                    self._expression(statement.value, frame, reached, doubtful)
                    if statement.value
                    else nodes.constant(None)
                )
                if isinstance(statement.value, ast.Dict):
                    self._declare(statement.value, frame)
                frame.returns.append((here, dict(self.state), value))
                return None
            elif isinstance(statement, ast.Raise):
                if not doubtful and statement.exc is not None:
                    arguments = statement.exc.args if isinstance(statement.exc, ast.Call) else []
                    message = self._message(arguments[0], frame) if arguments else ""
                    self._refuse(message, frame, reached)
                return None
            elif isinstance(statement, ast.Assert):
                test = self._condition(statement.test, frame, reached, doubtful)
                if not doubtful:
                    message = (
                        self._message(statement.msg, frame)
                        if statement.msg
                        else f"assert {ast.unparse(statement.test)}"
                    )
                    self._refuse(message, frame, nodes.both("and", [reached, nodes.negated(test)]))
            elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                self._assign(statement, frame, reached, doubtful)
            elif isinstance(statement, ast.Expr):
                self._expression(statement.value, frame, reached, doubtful)
            elif isinstance(statement, ast.With):
                if self._block(statement.body, path, here, frame, doubtful) is None:
                    return None
            elif isinstance(statement, ast.Try):
                self._try(statement, path, here, frame, doubtful)
            elif isinstance(statement, (ast.For, ast.While, ast.Match)):
                self._loop(statement, path, frame)
            elif isinstance(statement, (ast.Continue, ast.Break)):
                return None
        return here

    @staticmethod
    def _raises(body: list[ast.stmt]) -> bool:
        return isinstance(body[-1], ast.Raise) if body else False

    def _joined(self, test: int, one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        unknown = self.nodes.unknown
        return {
            name: self.nodes.either(test, one.get(name, unknown), other.get(name, unknown))
            for name in one.keys() | other.keys()
        }

    def _try(self, statement: ast.Try, path: int, here: int, frame: Frame, doubtful: bool) -> None:
        def caught(handler: ast.ExceptHandler) -> bool:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            return any((ast.unparse(kind) if kind else "") in SWALLOWED for kind in kinds)

        swallowed = any(caught(handler) for handler in statement.handlers)
        count = len(frame.returns)
        self._block(statement.body, path, here, frame, doubtful or swallowed)
        before, names = dict(self.state), dict(frame.variables)
        for handler in statement.handlers:
            self._block(handler.body, path, self.nodes.unknown, frame, True)
            self.state = self._merged(self.nodes.unknown, self.state, before)
            frame.variables = self._joined(self.nodes.unknown, frame.variables, names)
            before, names = dict(self.state), dict(frame.variables)
        if len(frame.returns) > count and not swallowed:
            return
        self._block([*statement.orelse, *statement.finalbody], path, here, frame, doubtful)

    def _loop(self, statement: ast.stmt, path: int, frame: Frame) -> None:
        before, names = dict(self.state), dict(frame.variables)
        blocks = (
            [case.body for case in statement.cases]
            if isinstance(statement, ast.Match)
            else [getattr(statement, "body", [])]
        )
        for inner in ast.walk(statement):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                frame.variables[inner.id] = self.nodes.unknown
        for block in blocks:
            self._block(block, path, self.nodes.unknown, frame, True)
            self.state = self._merged(self.nodes.unknown, self.state, before)
        frame.variables = self._joined(self.nodes.unknown, frame.variables, names)

    def _assign(
        self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign, frame: Frame, path: int, doubtful: bool
    ) -> None:
        if statement.value is None:
            return
        if isinstance(statement, ast.AugAssign):
            # a //= b is a = a // b
            done = ast.BinOp(statement.target, statement.op, statement.value)
            self._bind(statement.target, self._expression(done, frame, path, doubtful), frame)
            return
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if isinstance(targets[0], ast.Name) and self._is_view(statement.value, frame):
            frame.aliases.add(targets[0].id)
            return
        value = self._expression(statement.value, frame, path, doubtful)
        for target in targets:
            self._bind(target, value, frame)

    def _bind(self, target: ast.expr, value: int, frame: Frame) -> None:
        if isinstance(target, ast.Name):
            frame.variables[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = self.nodes.list[value]
            for at, element in enumerate(target.elts):
                known = parts[0] == "tuple" and len(parts) == len(target.elts) + 1
                self._bind(element, int(parts[at + 1]) if known else self.nodes.unknown, frame)
        elif isinstance(target, ast.Subscript):
            # Declarations of a pass: overrides["page_size"] = 64.
            key = target.slice.value if isinstance(target.slice, ast.Constant) else None
            if isinstance(key, str) and key in self.source.fields and isinstance(target.value, ast.Name):
                self.state[key] = value
        else:
            name = self._field(target, frame)
            if name:
                self.state[name] = value
