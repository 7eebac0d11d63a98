"""Runs one snippet in a process of its own, as a user's file would run, and tells its effect.

    python run_snippet.py MODULE < {"preamble": ..., "snippet": ..., "action": ...}

The text runs statement by statement in a module called MODULE. What its expression statements were worth is in the list
`values`, for the action to look at. The action leaves a JSON-plain `effect`, which is printed as the last line.
"""

from __future__ import annotations

import ast
import json
import sys
import types
import warnings
from pathlib import Path

warnings.simplefilter("error")


def main() -> None:
    """Run what stdin holds."""
    sys.path.insert(0, str(Path.cwd()))
    parts = json.load(sys.stdin)
    module = types.ModuleType(sys.argv[1])
    module.__file__ = str(Path.cwd() / f"{module.__name__}.py")
    sys.modules[module.__name__] = module
    names = module.__dict__
    names["values"] = values = []
    # The embedded file announces itself once, by design; in these programs that is expected.
    exec("import warnings, skirret.errors as e; warnings.simplefilter('ignore', e.EmbeddedBrokerWarning); del e", {})
    exec(compile(parts["preamble"], "<preamble>", "exec"), names)
    for statement in ast.parse(parts["snippet"], "<guide>").body:
        if isinstance(statement, ast.Expr):
            values.append(eval(compile(ast.Expression(statement.value), "<guide>", "eval"), names))
        else:
            exec(compile(ast.Module([statement], []), "<guide>", "exec"), names)
    exec(compile(parts["action"], "<action>", "exec"), names)
    print(json.dumps(names["effect"]))


if __name__ == "__main__":
    main()
