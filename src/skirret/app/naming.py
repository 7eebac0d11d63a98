"""What a task is called where nobody says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def script_module() -> str:
    """The name under which a worker would import the script that runs here; ``__main__`` if there is none."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        name = str(spec.name)
        return name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    stem = Path(file).stem if file else ""
    return stem if stem.isidentifier() else "__main__"


def gen_task_name(app: Any, name: str, module: str | None) -> str:
    """``module.name``, as Celery names tasks; in a script, the app's ``main`` stands for the module.

    Without ``main`` the script's own file name does, because that is how a worker will import it.
    """
    module = module or "__main__"
    if module == "__main__":
        module = app.main or script_module()
    return f"{module}.{name}"
