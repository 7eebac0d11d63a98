"""`app.conf`: the settings of one app, read on first use from code, objects, environment and pyproject.toml."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from skirret.errors import ImproperlyConfigured
from skirret.settings import listing
from skirret.settings.derived import complete
from skirret.settings.layer import Fault, Layer, checked, complain
from skirret.settings.option import Option, Section
from skirret.settings.origin import DEFAULT, Origin
from skirret.settings.reading import Reading
from skirret.settings.table import OPTIONS, canonical, misspelt, shown

S = TypeVar("S", bound=Section)

_ORDER = ("command line", "address", "code", "object", "environment", "pyproject", "added default")
"""Sources, the strongest first; the built-in defaults come last. "address" is the environment's word on servers, which
beats code as in Celery: whoever deploys a program says where its servers are."""

_HERE = str(Path(__file__).parents[1]) + os.sep
_lock = threading.RLock()


def _new_lock() -> None:
    """Give a forked child a lock that no thread of its parent holds."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def _caller() -> Origin:
    """The line of the user's code that is setting something."""
    frame = sys._getframe(2)  # noqa: SLF001  the documented way to ask who calls
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_HERE, "<frozen")):
        frame = frame.f_back
    return Origin("code", f"{frame.f_code.co_filename}:{frame.f_lineno}")


class Conf(MutableMapping[str, Any]):
    """The settings of one app, by Celery's lower-case names, as attributes or items.

    Nothing is read before the first look at a value; then every source is read, and all that is wrong in any of them
    is told in one ImproperlyConfigured. A value set in code is checked where it is set. The strongest source wins:
    command line, the environment's server addresses, code, configuration object, environment, pyproject.toml, added
    defaults, built-in defaults.

    Args:
        strict_unknown: whether an unknown key that resembles a known one is an error; else it is kept, with a warning.
    """

    # Defaults for an instance that is still being unpickled or copied, so that __getattr__ finds an end.
    _values: dict[str, Any] = {}  # noqa: RUF012
    _loaded = False

    def __init__(self, *, strict_unknown: bool = True) -> None:
        self._strict = strict_unknown
        self._prefix = ""
        self._reading = Reading()
        self._layers: dict[str, Layer] = {name: {} for name in _ORDER}
        self._defaults = {key: known.fresh_default() for key, known in OPTIONS.items()}
        self._values = {}
        self._loaded = False
        self._loading: set[int] = set()

    # -- where values come from

    def config_from_object(self, obj: Any, *, namespace: str | None = None, silent: bool = False) -> None:
        """Take settings from an object, which is read when the first setting is.

        Args:
            obj: a module, class, mapping or other object, or text that names one: ``package.module`` or
                ``package.module:name``.
            namespace: only names behind it count, such as ``CELERY`` for ``CELERY_TASK_ROUTES``.
            silent: whether a module that is not there is no error.
        """
        where = obj if isinstance(obj, str) else getattr(obj, "__name__", None) or type(obj).__name__
        with _lock:
            if namespace is not None:
                self._prefix = f"{namespace.removesuffix('_')}_" if namespace else ""
            self._plan(source=obj, origin=Origin("object", where), silent=silent)

    def config_from_envvar(self, name: str, *, silent: bool = False) -> bool:
        """Take settings from the module that an environment variable names; whether there is such a variable.

        Raises:
            ImproperlyConfigured: the variable is unset or empty, and not `silent`.
        """
        module = os.environ.get(name)
        if not module:
            if silent:
                return False
            raise ImproperlyConfigured(
                f"the environment variable {name} is not set: it should name a module with the settings, "
                f"such as {name}=project.settings"
            )
        with _lock:
            self._plan(source=module, origin=Origin("object", f"{module} (environment {name})"), silent=silent)
        return True

    def load_environment(self) -> None:
        """Take settings from ``SKIRRET_*`` and Celery's own variables when the first setting is read."""
        with _lock:
            self._plan(environment=True)

    def load_pyproject(self, directory: str | os.PathLike[str]) -> None:
        """Take settings from ``[tool.skirret]`` of the directory's pyproject.toml when the first setting is read."""
        with _lock:
            self._plan(project=Path(directory))

    def add_defaults(self, defaults: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Give defaults that win over the built-in ones and over those added before.

        Args:
            defaults: keys and values, or a function that returns them, called when the first setting is read.
        """
        with _lock:
            self._plan(added=(*self._reading.added, defaults))

    def set_from_command_line(self, values: Mapping[str, tuple[Any, str]]) -> None:
        """Set what a person asked for on the command line; it wins over everything.

        Args:
            values: key -> value and the option that gave it, such as ``--pool``.
        """
        faults: list[Fault] = []
        items = [(key, value, Origin("command line", flag)) for key, (value, flag) in values.items()]
        layer = checked(items, strict=self._strict, faults=faults)
        complain(faults)
        with _lock:
            self._layers["command line"].update(layer)
            self._refresh()

    def _plan(self, **changes: Any) -> None:
        """Change what is to be read, and have it read again at the next look."""
        self._reading = replace(self._reading, **changes)
        self._loaded = False
        self._values = {}

    def _refresh(self) -> None:
        if self._loaded:
            self._values = self._merged()

    # -- loading

    def _load(self) -> dict[str, Any]:
        """Read all sources, once; the values.

        User code runs without the lock, since a module that is imported may have its own thread read settings.
        """
        thread = threading.get_ident()
        if thread in self._loading:  # the configuration module reads settings: those known so far
            return self._merged()
        while not self._loaded:
            reading = self._reading
            self._loading.add(thread)
            try:
                layers, faults = reading.read(self._prefix, strict=self._strict)
            finally:
                self._loading.discard(thread)
            complain(faults)
            with _lock:
                if reading is self._reading:
                    self._layers.update(layers)
                    self._values = self._merged()
                    self._loaded = True
        return self._values

    def _merged(self) -> dict[str, Any]:
        values = dict(self._defaults)
        for name in reversed(_ORDER):
            values.update((key, value) for key, (value, _) in self._layers[name].items())
        return complete(values)

    # -- reading and writing one value

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            if name.startswith("_"):
                raise AttributeError(name) from None
        try:
            return self[name]
        except KeyError as exc:
            raise AttributeError(exc.args[0]) from None

    def __getitem__(self, name: str) -> Any:
        values = self._values if self._loaded else self._load()
        try:
            return values[name]
        except KeyError:
            key = canonical(name, self._prefix)
            if key in values:
                return values[key]
        near = misspelt(key)
        raise KeyError(f"there is no setting {name!r}" + (f"; did you mean {near}?" if near else ""))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self.update({name: value})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *args: Any, **values: Any) -> None:
        """Set several values in code; either all of them or, if any cannot be used, none.

        Args:
            args: a mapping, or pairs of key and value.
            values: the same as keywords; they win.

        Raises:
            ImproperlyConfigured: what is wrong with each value that cannot be used.
        """
        origin = _caller()
        faults: list[Fault] = []
        items = [(canonical(name, self._prefix), value, origin) for name, value in dict(*args, **values).items()]
        layer = checked(items, strict=self._strict, faults=faults)
        complain(faults)
        with _lock:
            self._layers["code"].update(layer)
            self._refresh()

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __delitem__(self, name: str) -> None:
        """Take back what code set; the next source counts again."""
        with _lock:
            del self._layers["code"][canonical(name, self._prefix)]
            self._refresh()

    def pop(self, name: str, *default: Any) -> Any:
        """Take back what code set, and return it; `default` where code set nothing.

        Raises:
            KeyError: code did not set it, and there is no `default`.
        """
        with _lock:
            found = self._layers["code"].pop(canonical(name, self._prefix), None)
            self._refresh()
        if found is not None:
            return found[0]
        if default:
            return default[0]
        raise KeyError(name)

    def clear(self) -> None:
        """Take back everything that code set."""
        with _lock:
            self._layers["code"].clear()
            self._refresh()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._load()))

    def __len__(self) -> int:
        return len(self._load())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and canonical(name, self._prefix) in self._load()

    def __repr__(self) -> str:
        return f"<Conf {self.table() if self._loaded else 'not read yet'}>"

    # -- looking at all of them

    @property
    def changes(self) -> Mapping[str, Any]:
        """What code set: keys and values, read-only."""
        return MappingProxyType({key: value for key, (value, _) in self._layers["code"].items()})

    def origin(self, name: str) -> Origin:
        """Where the value of `name` comes from."""
        self._load()
        key = canonical(name, self._prefix)
        for source in _ORDER:
            if key in self._layers[source]:
                return self._layers[source][key][1]
        return DEFAULT

    def is_set(self, name: str) -> bool:
        """Whether anybody set `name`, be it to its default."""
        return self.origin(name) is not DEFAULT

    value_set_for = is_set

    def without_defaults(self) -> dict[str, Any]:
        """Keys and values that somebody set, or whose default was changed in place, such as ``beat_schedule``."""
        values = self._load()
        set_here = {key for layer in self._layers.values() for key in layer}
        changed = {key for key, known in OPTIONS.items() if self._defaults[key] != known.default}
        return {key: value for key, value in values.items() if key in set_here or key in changed}

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Keys and values for people.

        Args:
            with_defaults: whether settings that nobody set are listed too.
            censored: whether secrets are masked.
        """
        values = dict(self._load()) if with_defaults else self.without_defaults()
        return {key: shown(key, value) for key, value in values.items()} if censored else values

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """As `table`, as text with one setting a line."""
        return "\n".join(f"{key}: {value!r}" for key, value in self.table(with_defaults, censored).items())

    def rows(self, with_defaults: bool = True) -> list[listing.Row]:
        """Every setting, or those that somebody set, with all that is known of it; secrets are masked."""
        return [listing.row(key, value, self.origin(key)) for key, value in self.table(with_defaults).items()]

    def unused(self) -> list[listing.Row]:
        """The settings that somebody set although Skirret has no use for them; each row says why."""
        return [row for row in self.rows(with_defaults=False) if not row.used]

    def section(self, kind: type[S]) -> S:
        """One group of settings as a typed, frozen snapshot, such as ``conf.section(TaskSettings)``."""
        values = self._load()
        return kind(**{key: values[key] for key in kind.options})

    def find_option(self, name: str, namespace: str = "") -> tuple[str, str, Option]:
        """The setting called `name` within any group, as group, rest of the key, and what is known of it.

        Raises:
            KeyError: there is none.
        """
        key = listing.full_key(name.lower(), namespace.lower())
        group, _, rest = key.partition("_")
        return (group, rest, OPTIONS[key]) if key != name else ("", key, OPTIONS[key])

    def find_value_for_key(self, name: str, namespace: str = "celery") -> Any:
        """The value of the setting called `name` within any group."""
        return self[listing.full_key(name.lower(), namespace.lower())]

    def get_by_parts(self, *parts: str) -> Any:
        """The value of the key that `parts` make when joined by underscores."""
        return self["_".join(part for part in parts if part)]

    def finalize(self) -> Conf:
        """Read the settings now if they were not yet; itself."""
        self._load()
        return self

    def validate(self) -> None:
        """Read all sources and check the values also against each other.

        Raises:
            ImproperlyConfigured: all that is wrong.
        """
        complain(listing.contradictions(self._load(), self.origin))

    # -- handing them to another process

    def plain(self) -> dict[str, Any]:
        """What differs from the defaults, for another process: only Skirret's and Celery's own keys, only plain data.

        Values that are, or hold, code or objects are left out. Secrets are in it: it is not for people.
        """
        return listing.plain({key: value for key, value in self.without_defaults().items() if key in OPTIONS})

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Conf:
        """Settings as another process had them, from what `plain` gave; nothing else is read."""
        conf = cls(strict_unknown=False)
        conf.update(values)
        return conf
