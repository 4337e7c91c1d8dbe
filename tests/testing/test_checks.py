"""Each check finds what it is for: the plugin that `arl plugins new` writes passes, and broken in one place fails it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import SkipTest

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from arl_core.interfaces import UserError
from arl_core.registry.known import KNOWN_FAMILIES
from arl_core.testing import Check, CheckFailed, Result, plugin_checks
from arl_core.testing.environments import gymnasium_says
from arl_core.testing.subject import find_subjects
from arl_core.testing.suite import stages

Install = Callable[..., Path]


def check_of(name: str, rule: str) -> Check:
    """The first check of a rule; unlike `plugin_checks`, nothing is imported that comes later."""
    (subject,) = find_subjects(name)
    return next(check for stage in stages(subject) for check in stage.checks if check.id.partition("[")[0] == rule)


class Broken(NamedTuple):
    """A change in one file of the good plugin, the rule that it breaks, and what is said. NAME and PKG are filled in."""

    rule: str
    file: str
    old: str
    new: str
    says: str


IMPORTS = "from typing import Any\n"
SCALED = 'wrappers=(__import__("arl_core.interfaces").interfaces.WrapperRef("reward-scale", {"scael": 1}),)'
HOOKS = [
    Broken("import.light", "plugin.py", IMPORTS, f"{IMPORTS}import gymnasium\n", "imports gymnasium"),
    Broken("import.budget", "plugin.py", IMPORTS, f"{IMPORTS}import time\ntime.sleep(0.6)\n", "took 0.6"),
    Broken("import.apart", "plugin.py", IMPORTS, f"{IMPORTS}import PKG.env\n", "also imports PKG.env"),
    Broken("import.works", "plugin.py", IMPORTS, "raise SystemExit('no')\n", "exit code 1: no"),
    Broken("import.works", "plugin.py", IMPORTS, "import os\nos.abort()\n", "was ended by SIGABRT"),
    Broken("import.works", "plugin.py", "def arl_encoders", "def arl_encoder", "Did you mean 'arl_encoders'?"),
    Broken("hooks.names", "plugin.py", "@hookimpl\ndef arl_encoders", "def arl_encoder", "Did you mean 'arl_encoders'?"),
    Broken("hooks.signatures", "plugin.py", "(env: str)", '(env: str = "")', "'env' has a default"),
    Broken("hooks.results", "plugin.py", "        EncoderSpec(\n", "        dict(\n", "not EncoderSpec"),
    Broken("hooks.namespace", "plugin.py", 'name="NAME/relative"', 'name="relative"', "does not begin with 'NAME/'"),
    Broken("descriptions.plain", "plugin.py", '{"length": length}', '{"length": {length}}', "is not JSON"),
    Broken("descriptions.plain", "plugin.py", '{"length": length}', '{"length": lambda: length}', "does not pickle"),
    Broken("descriptions.code", "plugin.py", "PKG.env:make", "PKG.env:made", "cannot be imported: AttributeError"),
    Broken("descriptions.code", "plugin.py", "PKG.env:make", "PKG.env", "is not of the form 'module:attribute'"),
    Broken("descriptions.code", "env.py", "length: int) -> NAMEEnv:", "size: int) -> NAMEEnv:", "missing a required"),
    Broken("descriptions.options", "options.py", 'extra="forbid", ', "", "accepts options that it does not know"),
    Broken("descriptions.options", "options.py", 'default=0.0, ge', "ge", "NAMEOptions.wind has no default"),
    Broken("descriptions.options", "options.py", ', description="where an episode begins"', "", "has no description"),
    Broken("descriptions.variants", "plugin.py", 'variant="short"', 'variant="shrt"', "'shrt'. Did you mean 'short'?"),
    Broken("descriptions.variants", "plugin.py", 'variant="short"', f'variant="short", {SCALED}', "has no option 'scael'"),
    Broken("descriptions.variants", "plugin.py", 'encoder="NAME/relative"', 'encoder="NAME/rel"', "no encoder 'NAME/rel'"),
    Broken("overrides.valid", "plugin.py", '"gamma"', '"gama"', "Did you mean 'gamma'?"),
    Broken("overrides.valid", "plugin.py", "3e-3", "-3e-3", "learning_rate"),
]  # fmt: skip
CLOSE = "    def close(self):\n        raise OSError('no')\n\n    def render"
STACKS = "    frame_stacks = {'obs': __import__('arl_core.interfaces').interfaces.FrameStacking(2, 0, True)}\n\n    def render"
PID = "self._flag = __import__('os').getpid()"
TIRED = "        self.n = getattr(self, 'n', 0) + 1\n        1 / (40 - self.n)\n"
BUILT = [
    Broken("env.spawn", "env.py", IMPORTS, f"{IMPORTS}import PKG.plugin\n", "imports PKG.plugin and pluggy"),
    Broken("env.spawn", "env.py", "        towards = 1", "        1 / 0\n        towards = 1", "1: ZeroDivisionError"),
    Broken("env.spaces", "env.py", "spaces.Discrete(2)", "spaces.Text(2)", "Text is not supported"),
    Broken("env.api", "env.py", "1) - 1.0", "1)", "gymnasium says: "),
    Broken("env.seeding", "env.py", "places = np", f"{PID}\n        places = np", "'obs' differs at step"),
    Broken("env.reset", "env.py", "1 if", "1 if np.random.random() < 2 and", "global generator of numpy.random"),
    Broken("env.reset", "env.py", "self._walker, self._flag = self", "a, self._flag = self", "after reset(seed=5)"),
    Broken("env.close", "env.py", "    def render", CLOSE, "no (env.py:"),
    Broken("env.stacks", "env.py", "    def render", STACKS, "'obs' is not FrameStacking(frames=2"),
    Broken("env.episodes", "env.py", "1.0 if there else", 'float("nan") if there else', "not finite"),
    Broken("options.values", "env.py", '"left":\n', '"left":\n            self.left()\n', "no attribute 'left' (env.py:"),
    Broken("options.values", "options.py", '"left"]', '"left", 1, "1"]', "start=1: typed on the command line"),
    Broken("encoder.shape", "encoder.py", "size = cfg.hidden_size", "size = 7", "it gives [24, 64] for 24 rows, not [24, 7]"),
    Broken("encoder.shape", "encoder.py", "shape != (2,)", "shape != (3,)", "though it is its default encoder"),
    Broken("encoder.gradient", "encoder.py", "dim=1))", "dim=1)).detach().requires_grad_()", "reaches layers.0.weight"),
    Broken("encoder.rows", "encoder.py", ":1]\n", ":1]\n        way = way - way.mean()\n", "a row alone"),
    Broken("encoder.weights", "encoder.py", ":1]\n", ":1] * vars(self).setdefault('w', torch.rand(1))\n", "other features"),
    Broken("train.serial", "env.py", "        towards = 1", f"{TIRED}        towards = 1", "ended with exit code 1"),
]  # fmt: skip


@pytest.mark.parametrize("broken", [*HOOKS, *BUILT], ids=lambda broken: broken.rule)
def test_a_broken_rule_is_found(broken: Broken, install_plugin: Install, request: pytest.FixtureRequest) -> None:
    name = "p" + re.sub(r"\W|_", "", request.node.callspec.id)

    def filled(text: str) -> str:
        classname = text.replace("NAMEEnv", f"{name.capitalize()}Env").replace("NAMEOptions", f"{name.capitalize()}Options")
        return classname.replace("NAME", name).replace("PKG", f"arl_plugin_{name}")

    install_plugin(name, {broken.file: (filled(broken.old), filled(broken.new))})
    result = check_of(name, broken.rule).result()
    assert result.outcome == "fail", result
    assert filled(broken.says) in result.message
    assert result.cure


GROUP = """
from arl_core.envs.group import SingleEnvGroup
from PKG.env import make

class Group(SingleEnvGroup):
    def recv_into(self, views):
        ends = super().recv_into(views)
        CHANGE
        return ends

def make_group(*, options, contexts, length):
    from gymnasium.wrappers import TimeLimit
    return Group([TimeLimit(make(options=options, context=c, length=length), 4 * length) for c in contexts], contexts)
"""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("pass", ""),
        ("views.rewards[0] += views.truncated[0]", "rewards of environment 0"),
        ("views.valid[:] = True", "valid of environment"),
        ("views.obs['obs'][1] = 0.5", "observation 'obs' of environment 1"),
    ],
)
def test_a_group_must_equal_the_single_environments(change: str, says: str, install_plugin: Install) -> None:
    name = "v" + re.sub(r"\W|_", "", change)[:30].lower()
    text = GROUP.replace("PKG", f"arl_plugin_{name}").replace("CHANGE", change)
    maker = f'"arl_plugin_{name}.env:make",\n'
    vector = f'        vector_maker="arl_plugin_{name}.group:make_group",\n'
    install_plugin(name, {"plugin.py": (maker, f"{maker}{vector}")}, {"group.py": text})
    result = check_of(name, "env.vector").result()
    assert (result.outcome, says in result.message) == ("fail" if says else "ok", True), result
    if says:
        assert "vectorised and single" in result.message
        assert "next-step autoreset" in result.cure


STATE = """    def get_state(self):
        from arl_core.envs.state import rng_to_array
        return {"places": np.array([self._walker, self._flag]), "rng": rng_to_array(self.np_random)}

    def set_state(self, state):
        from arl_core.envs.state import rng_from_array
        self._walker, self._flag = state["places"].tolist()
        RESTORE

    def render"""


@pytest.mark.parametrize(
    ("restore", "outcome", "says"),
    [
        ('self.np_random = rng_from_array(state["rng"])', "ok", "single"),
        ("pass", "fail", "after the state was saved: observation 'obs'"),
    ],
)
def test_a_saved_state_must_be_whole(restore: str, outcome: str, says: str, install_plugin: Install) -> None:
    install_plugin(f"state{outcome}", {"env.py": ("    def render", STATE.replace("RESTORE", restore))})
    result = check_of(f"state{outcome}", "env.state").result()
    assert (result.outcome, says in result.message) == (outcome, True), result


class Locked(gymnasium.Env[Any, Any]):
    """Raises where the mask is not obeyed."""

    observation_space = spaces.Dict({"obs": spaces.Box(0, 1, (1,)), "action_mask": spaces.MultiBinary(3)})
    action_space = spaces.Discrete(3, start=1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.seen(), {}

    def seen(self) -> dict[str, Any]:
        self.allowed = int(self.np_random.integers(3))
        return {"obs": np.zeros(1, np.float32), "action_mask": np.eye(3, dtype=np.int8)[self.allowed]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action == self.allowed + 1, "a masked action"
        return self.seen(), 0.0, False, False, {}


def test_gymnasiums_checks_obey_the_action_mask() -> None:
    gymnasium_says(Locked(), thoroughly=True)
    with pytest.raises(AssertionError, match="a masked action"):
        check_env(Locked(), skip_render_check=True)


def test_what_declares_no_determinism_is_not_asked_for_it(install_plugin: Install) -> None:
    changed = {
        "plugin.py": ("        id=name,\n", "        id=name,\n        deterministic=False,\n"),
        "env.py": ("self.np_random.choice(", "np.random.default_rng().choice("),
    }
    install_plugin("dice", changed)
    outcomes = {rule: check_of("dice", rule).result().outcome for rule in ("env.api", "env.seeding", "env.reset")}
    assert outcomes == {"env.api": "ok", "env.seeding": "skip", "env.reset": "skip"}


@pytest.mark.parametrize(
    ("rule", "metadata", "says"),
    [
        ("metadata.name", {"plugins": {"Meta": "arl_plugin_meta.plugin"}}, "called 'Meta'"),
        ("metadata.target", {"plugins": {"meta": "arl_plugin_meta.hooks"}}, "there is no module arl_plugin_meta.hooks"),
        ("metadata.target", {"plugins": {"meta": "arl_plugin_meta.plugin:hooks"}}, "not a module"),
        ("metadata.requires", {"requires": ("arl-cor", "numpy>=2")}, "does not require arl-core. Did you mean 'arl-cor'?"),
        ("metadata.version", {"version": "unknown"}, "the version is 'unknown'"),
        ("metadata.prefixes", {"prefixes": {"metal-": "iron"}}, "'metal-...' does not reach 'iron'"),
        ("metadata.prefixes", {"prefixes": {"gym_meta": "meta"}}, "the prefix is reserved"),
    ],
)
def test_metadata(rule: str, metadata: dict[str, Any], says: str, install_plugin: Install) -> None:
    install_plugin("meta", **metadata)
    result = check_of("arl-plugin-meta", rule).result()
    assert (result.outcome, says in result.message) == ("fail", True), result
    if rule == "metadata.target" and "there is" in says:
        assert "pip install -e ." in result.cure


def test_prefixes_that_continue_each_other_are_noted(install_plugin: Install) -> None:
    install_plugin("meta", prefixes={"maze-meta-": "meta"})
    result = check_of("arl-plugin-meta", "metadata.prefixes").result()
    assert (result.outcome, result.message) == ("ok", "maze-meta-... is meta")
    (note,) = result.notes
    assert note == "'maze-...' is 'maze' of arl-plugin-maze: where a name begins with both, the longer one counts"


def test_a_historical_name_that_no_prefix_reaches_is_noted(install_plugin: Install) -> None:
    install_plugin("aka", {"plugin.py": ('default_variant="short"', 'default_variant="short", aliases={"Aka-v0": "short"}')})
    (note,) = check_of("aka", "descriptions.variants").result().notes
    assert note.startswith("--env Aka-v0 is unknown, aka:Aka-v0 is not: declare how they begin in [project.entry-points.")


def test_two_claimants_are_a_conflict_and_both_are_checked(install_plugin: Install, fake_distribution: Install) -> None:
    install_plugin("twice")
    fake_distribution("acme-twice", plugins={"twice": "acme"}, files={"acme.py": ""})
    checks = [check for check in plugin_checks("twice") if check.id == "metadata.status[twice]"]
    assert [check.result().outcome for check in checks] == ["fail", "fail"]
    assert "and so does acme-twice 1.0" in checks[1].result().message
    (only,) = [check for check in plugin_checks("acme-twice::twice") if check.id == "metadata.status[twice]"]
    assert only.result().message.startswith("acme-twice 1.0")


def test_a_plugin_that_cannot_be_used_is_told_what_to_do(install_plugin: Install, fake_distribution: Install) -> None:
    install_plugin("late", requires=("arl-core>=99",))
    late = check_of("late", "metadata.status").result()
    assert late.message.endswith("asks for arl-core>=99, but arl-core 0.1.0 is installed: pip install -U arl-core")
    assert late.cure == "what the message says"
    empty = "from arl_core.hookspecs import hookimpl\n\n@hookimpl\ndef arl_environments():\n    return []\n"
    fake_distribution("arl-plugin-empty", plugins={"empty": "empty_hooks"}, files={"empty_hooks.py": empty})
    described = check_of("empty", "descriptions.variants").result()
    assert (described.outcome, "describes: none" in described.message) == ("fail", True)


def test_an_environment_that_cannot_be_built_is_no_matter_of_imports(install_plugin: Install) -> None:
    install_plugin("unbuilt", {"env.py": ("self.options = options", 'raise OSError("no display")')})
    spawned = check_of("unbuilt", "env.spawn").result()
    assert (spawned.message, spawned.cure) == (
        "the process that built and stepped it ended with exit code 1: OSError: no display",
        "see it: arl run --env unbuilt:short --serial",
    )


def test_run_is_for_tests_and_result_for_reports(install_plugin: Install) -> None:
    install_plugin("runs", {"env.py": ("    def render", CLOSE)})
    closing = check_of("runs", "env.close")
    assert str(closing) == "env.close[runs:short]"
    with pytest.raises(CheckFailed, match=r"OSError: no \(env.py:\d+ in close\)\n  cure: let close") as failure:
        closing.run()
    assert isinstance(failure.value.__cause__, OSError)
    with pytest.raises(SkipTest, match="has no vector_maker"):
        check_of("runs", "env.vector").run()
    assert check_of("runs", "env.vector").result() == Result("skip", "has no vector_maker")


def test_of_a_plugin_that_does_not_load_only_the_reason_is_listed(install_plugin: Install) -> None:
    install_plugin("broken", {"plugin.py": (IMPORTS, "import no_such_module\n")})
    checks = plugin_checks("broken")
    assert {check.id.partition(".")[0] for check in checks} == {"metadata", "import"}
    (works,) = [check for check in checks if check.id == "import.works[broken]"]
    assert "No module named 'no_such_module'" in works.result().message


def test_variants_are_sampled_or_all(install_plugin: Install) -> None:
    install_plugin(
        "many", {"plugin.py": ('_variant("short", 8)', '*[_variant(f"v{i}", 8) for i in range(9)], _variant("short", 8)')}
    )
    built = [c.id for c in plugin_checks("many") if c.id.startswith("env.spawn")]
    assert built == [f"env.spawn[many:{name}]" for name in ("short", "v5")]
    every = [c for c in plugin_checks("many", all_variants=True) if c.id.startswith("env.spawn")]
    assert len(every) == 11
    assert [c.id for c in plugin_checks("many:v7") if c.id.startswith("env.spawn")] == ["env.spawn[many:v7]"]


def test_names_that_nothing_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN_FAMILIES, "neverland", ("arl-plugin-neverland", ("never_",)))
    with pytest.raises(UserError, match=r"no plugin or distribution 'maz'\. Did you mean 'maze'\?"):
        plugin_checks("maz")
    with pytest.raises(UserError, match="'neverland' is provided by arl-plugin-neverland, which is not installed"):
        plugin_checks("neverland")
