"""app.task, shared_task, class tasks: names, options, bases, binding, finalisation."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import sys
import types

import pytest

from skirret import Skirret, Task, current_app, current_task, shared_task
from skirret.app.naming import gen_task_name
from skirret.errors import DuplicateTaskNameWarning, ImproperlyConfigured, NotRegistered
from tests.unit.app.conftest import only, sent


def test_a_task_is_named_after_its_module_and_function(app):
    @app.task
    def work():
        """Says what it does."""

    assert work.name == f"{__name__}.work"
    assert app.tasks[work.name] is work
    assert work.__name__ == "work"
    assert work.__doc__ == "Says what it does."
    assert inspect.signature(work.run) == inspect.signature(work.__wrapped__)


def test_a_name_can_be_given(app):
    assert app.task(name="given")(lambda: 1).name == "given"


@pytest.mark.parametrize(
    "main, file, spec, name",
    [
        ("proj", "/x/tasks.py", None, "proj.work"),
        (None, "/x/tasks.py", None, "tasks.work"),
        (None, None, None, "__main__.work"),
        (None, "/x/my-script.py", None, "__main__.work"),
        (None, "/x/__main__.py", types.SimpleNamespace(name="pkg.__main__"), "pkg.work"),
    ],
)
def test_in_a_script_the_name_is_the_one_that_a_worker_will_find(monkeypatch, main, file, spec, name):
    script = types.ModuleType("__main__")
    script.__spec__ = spec
    if file is not None:
        script.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert gen_task_name(types.SimpleNamespace(main=main), "work", "__main__") == name


def test_gen_task_name_may_be_overridden_in_a_subclass(make_app):
    class Shouting(Skirret):
        def gen_task_name(self, name, module):
            return name.upper()

    app = Shouting("x", broker="memory://")
    assert app.task(lambda: 1, name=None).name == "<LAMBDA>"


def test_every_option_becomes_an_attribute(app):
    @app.task(max_retries=7, default_retry_delay=9, rate_limit="10/m", throws=(KeyError,), custom="mine", typing=False)
    def work():
        pass

    assert (work.max_retries, work.default_retry_delay, work.rate_limit) == (7, 9, "10/m")
    assert (work.throws, work.custom, work.typing) == ((KeyError,), "mine", False)


def test_an_attribute_that_is_not_said_is_the_settings(app):
    @app.task
    def work():
        pass

    assert work.acks_late is True
    app.conf.update(task_acks_late=False, task_serializer="yaml", task_track_started=True, task_ignore_result=True)
    assert (work.acks_late, work.serializer, work.track_started, work.ignore_result) == (False, "yaml", True, True)
    work.acks_late = True
    assert work.acks_late is True


def test_none_in_a_base_class_says_nothing_but_max_retries_none_is_without_end(app):
    class Base(Task):
        acks_late = None
        max_retries = None

    task = app.task(base=Base)(lambda: 1)
    assert task.acks_late is True
    assert task.max_retries is None
    assert app.task(name="endless", max_retries=None)(lambda: 1).max_retries is None


def test_a_base_class_gives_attributes_hooks_and_methods(app):
    class Base(Task):
        queue = "base"
        greeting = "hi"

        def greet(self):
            return self.greeting

    @app.task(base=Base, bind=True)
    def work(self):
        return self.greet()

    assert isinstance(work, Base)
    assert work() == "hi"
    work.delay()
    assert only(app, "base")


def test_task_cls_is_the_base_of_all_tasks(make_app):
    class Base(Task):
        mine = True

    app = make_app(task_cls=Base)
    assert app.task(lambda: 1).mine
    assert issubclass(app.Task, Base)
    by_path = make_app(task_cls="skirret.app.task:Task")
    assert isinstance(by_path.task(lambda: 1), Task)
    with pytest.raises(ImproperlyConfigured, match="subclass of Task"):
        make_app(task_cls=int).task(lambda: 1)


def test_a_class_task_is_registered_by_instance_or_class(app):
    class First(Task):
        def run(self, x):
            return x + 1

    class Second(app.Task):
        name = "second"

        def run(self):
            return self.app

    first = app.register_task(First())
    second = app.register_task(Second)
    assert app.tasks[f"{__name__}.First"] is first
    assert app.tasks["second"] is second
    assert (first(1), second()) == (2, app)
    first.delay(4)
    assert only(app).task == first.name
    with pytest.raises(TypeError):
        first.delay()


def test_a_class_task_with_an_async_run_is_async(app):
    class Fetch(Task):
        async def run(self, x):
            return x

    fetch = app.register_task(Fetch)
    assert fetch.is_async
    assert asyncio.run(fetch(3)) == 3


def test_an_async_function_is_an_async_task_whose_call_is_a_coroutine(app):
    @app.task(bind=True)
    async def fetch(self, x):
        assert self.request.args == (x,)
        assert current_task == self
        return x * 2

    assert fetch.is_async
    assert asyncio.run(fetch(3)) == 6


def test_a_task_class_without_run_says_so(app):
    with pytest.raises(NotImplementedError, match="must define run"):
        app.register_task(type("Empty", (Task,), {}))()


def test_on_bound_hears_of_the_app(app):
    heard = []

    class Base(Task):
        def on_bound(self, app):
            heard.append(app)

    app.task(base=Base)(lambda: 1)
    assert heard == [app]


def test_two_functions_of_one_name_are_warned_about_once_and_the_first_stays(app):
    @app.task(name="same")
    def first():
        return 1

    with pytest.warns(DuplicateTaskNameWarning, match=r"'same'.*first.*second") as caught:

        @app.task(name="same")
        def second():
            return 2

    assert caught[0].filename == __file__
    assert second is first
    assert app.task(name="same")(lambda: 3) is first


def test_the_same_function_may_be_registered_twice(app):
    def work():
        pass

    assert app.task(work) is app.task(work)


def test_a_task_is_not_made_of_a_task(app):
    task = app.task(lambda: 1)
    with pytest.raises(TypeError, match="already"):
        app.task(task)
    with pytest.raises(TypeError, match="already"):
        shared_task(task)
    with pytest.raises(TypeError, match="function"):
        app.task(5)


def test_an_unknown_task_is_an_error_that_suggests_a_near_one(app):
    app.task(name="proj.add")(lambda: 1)
    with pytest.raises(NotRegistered, match=r"did you mean 'proj.add'"):
        app.tasks["proj.ad"]


def test_a_shared_task_belongs_to_every_app_and_means_the_current_one(make_app):
    before = make_app("before")
    before.finalize()

    @shared_task(queue="shared")
    def work(x):
        return x

    after = make_app("after")
    assert work.name in before.tasks
    assert work.name in after.tasks
    assert before.tasks[work.name] is not after.tasks[work.name]
    work.delay(1)
    assert (len(sent(after, "shared")), len(sent(before, "shared"))) == (1, 0)
    before.set_current()
    work.delay(2)
    assert len(sent(before, "shared")) == 1
    assert work(5) == 5
    assert isinstance(work, Task)
    assert repr(work) == f"<@task: {work.name}>"


def test_shared_true_gives_a_task_of_one_app_to_the_others(make_app):
    one = make_app("one")

    @one.task(shared=True)
    def work():
        pass

    assert work.name in make_app("two").tasks


def test_annotations_change_attributes_of_all_and_of_single_tasks(app):
    first = app.task(name="first")(lambda: 1)
    second = app.task(name="second")(lambda: 1)
    app.conf.task_annotations = {"*": {"rate_limit": "1/s", "priority": 1}, "second": {"priority": 2}}
    app.finalize()
    late = app.task(name="late")(lambda: 1)
    assert [t.rate_limit for t in (first, second, late)] == ["1/s"] * 3
    assert [t.priority for t in (first, second, late)] == [1, 2, 1]


def test_annotations_count_from_the_first_look_and_from_the_first_call_on(app):
    seen = app.task(name="seen")(lambda: 1)
    called = app.task(name="called")(lambda: 1)
    app.conf.task_annotations = {"seen": {"rate_limit": "10/m"}, "called": {"queue": "annotated", "max_retries": 9}}
    assert seen.rate_limit == "10/m"
    assert not app.finalized
    called.delay()
    assert only(app, "annotated").task == "called"
    assert called.max_retries == 9


def test_annotations_may_be_a_list_of_mappings_and_callables_the_first_strongest(app):
    task = app.task(name="one")(lambda: 1)

    class Annotate:
        def annotate(self, task):
            return {"rate_limit": "3/s", "time_limit": 5} if task.name.startswith("o") else None

    app.conf.task_annotations = [{"one": {"rate_limit": "2/s"}}, Annotate(), lambda task: {"priority": 3}]
    app.finalize()
    assert (task.rate_limit, task.time_limit, task.priority) == ("2/s", 5, 3)


def test_an_annotation_that_is_a_function_becomes_a_hook_of_the_task(app):
    heard = []
    task = app.task(name="one")(lambda: 1)
    app.conf.task_annotations = {"*": {"on_success": lambda self, *args: heard.append(self.name)}}
    assert task.apply().get() == 1
    assert heard == ["one"]


@pytest.mark.parametrize("wrong", [[5], {"*": "fast"}])
def test_an_annotation_of_no_known_form_is_an_error(app, wrong):
    app.task(name="one")(lambda: 1)
    app.conf.task_annotations = wrong
    with pytest.raises(ImproperlyConfigured):
        app.finalize()


def test_finalising_is_announced_once(app):
    heard = []
    app.on_after_configure.connect(lambda sender, source, **_: heard.append(source), weak=False)
    app.on_after_finalize.connect(lambda sender, **_: heard.append(sender), weak=False)
    app.finalize()
    app.finalize()
    assert heard == [app.conf, app]


def test_autofinalize_off_asks_for_finalize(make_app):
    app = make_app(autofinalize=False)
    with pytest.raises(RuntimeError, match="finalize"):
        app.tasks  # noqa: B018
    app.finalize()
    assert len(app.tasks) == 0


def test_a_task_pickles_as_its_name(app):
    task = app.task(name="picklable")(lambda: 1)
    assert pickle.loads(pickle.dumps(task)) is task
    shared = shared_task(name="shared")(lambda: 1)
    assert pickle.loads(pickle.dumps(shared)) is app.tasks["shared"]


def test_the_current_app_is_the_last_one_made_and_can_be_set(make_app):
    one, two = make_app("one"), make_app("two")
    assert current_app == two
    one.set_current()
    assert current_app == one
    assert current_app.main == "one"


def test_without_an_app_a_default_one_is_made():
    assert isinstance(current_app._get_current_object(), Skirret)
    assert current_app.main == "default"


def test_an_app_that_nobody_holds_is_freed():
    from skirret.app.current import living_apps

    app = Skirret("short", broker="memory://short", set_as_current=False)
    app.task(lambda: 1)
    keeper = Skirret("long", broker="memory://long")
    del app
    gc.collect()
    assert [a.main for a in living_apps() if a.main in ("short", "long")] == ["long"]
    assert keeper


def test_push_request_pretends_a_call(app):
    task = app.task(name="pretend")(lambda: 1)
    task.push_request(id="abc", retries=2, custom="header")
    assert (task.request.id, task.request.retries, task.request.custom) == ("abc", 2, "header")
    task.pop_request()
    assert task.request.id is None


def test_the_request_of_another_task_is_not_mine(app):
    inner = app.task(name="inner")(lambda: inner.request.id)
    outer = app.task(name="outer")(lambda: inner.request.id)
    outer.push_request(id="outer-id")
    try:
        assert inner.request.id is None
        assert outer.request.id == "outer-id"
    finally:
        outer.pop_request()


def test_constructor_arguments_and_keywords_are_settings():
    app = Skirret(
        "x", broker="memory://a", backend="cache+memory://b", include="one", task_default_queue="q",
        changes={"task_acks_late": False},
    )  # fmt: skip
    conf = app.conf
    assert (conf.broker_url, conf.result_backend, conf.include) == ("memory://a", "cache+memory://b", ["one"])
    assert (conf.task_default_queue, conf.task_acks_late) == ("q", False)


def test_config_source_and_namespace_are_read():
    app = Skirret("x", config_source={"PRO_TASK_DEFAULT_QUEUE": "q"}, namespace="PRO")
    assert app.conf.task_default_queue == "q"
    app.config_from_object({"task_default_queue": "r"}, namespace="")
    assert app.conf.task_default_queue == "r"


def test_the_app_remembers_the_file_that_made_it(app, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "made_here_module.py").write_text(
        "from skirret import Skirret\napp = Skirret('m', broker='memory://')\n"
    )
    import made_here_module

    assert made_here_module.app.origin == tmp_path / "made_here_module.py"
