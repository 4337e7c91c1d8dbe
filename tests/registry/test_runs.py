from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arl_core import __version__
from arl_core.config import Layer, merge_layers
from arl_core.config.sources import environment_layer, yaml_layer
from arl_core.interfaces import UserError
from arl_core.registry import resolve_env, resolve_run
from arl_core.registry.builtin import _PARAMS
from arl_core.registry.catalog import param_overrides

CARTPOLE = Layer("keyword", {"env": "gym:CartPole-v1"})


def test_owners_in_order(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("reward_scale: 0.2\nnum-workers: 3\nrollout: 16\nencoder_type: mlp\n")
    environ = {"ARL_NUM_WORKERS": "4", "ARL_ROLLOUT": "8", "PATH": "x"}
    explicit = Layer("command line", {"env": "gym_CartPole-v1", "rollout": 4})
    config, env = resolve_run(explicit, config_file=file, environ=environ)
    winners = {
        "learning_rate": (_PARAMS["gym:CartPole-v1"]["learning_rate"], f"arl-core {__version__}"),
        "reward_scale": (0.2, str(file)),
        "encoder": ("mlp", str(file)),
        "num_workers": (4, "environment variables"),
        "rollout": (4, "command line"),
        "gae_lambda": (0.95, "core"),
        "env": ("gym:CartPole-v1", "command line"),
    }
    assert {name: (getattr(config.config, name), config.origin(name)) for name in winners} == winners
    assert env.id == "gym:CartPole-v1"


def test_a_plugin_is_asked_by_the_algorithms_own_name() -> None:
    plain, spelt = (
        resolve_run(CARTPOLE, Layer("keyword", {"algo": name}), environ={})[0] for name in ("appo", "arl-core::appo")
    )
    assert spelt.config.learning_rate == plain.config.learning_rate == _PARAMS["gym:CartPole-v1"]["learning_rate"]


def test_an_environments_plugin_stands_above_the_algorithm(fakes: Any) -> None:
    fakes.corridor()
    module = fakes.folder / "arl_plugin_corridor.py"
    module.write_text(module.read_text().replace('{"gamma": 0.97', '{"ppo_epochs": 5, "gamma": 0.97'))
    result = fakes.python(
        """
        from arl_core.config import Layer, merge_layers
        from arl_core.registry import resolve_run
        config, _ = resolve_run(Layer("keyword", {"env": "corridor", "algo": "a3c"}), environ={})
        result = [[getattr(config.config, name), config.origin(name)] for name in ("ppo_epochs", "gae_lambda", "gamma")]
        """
    )
    assert result == [[5, "arl-plugin-corridor 0.3.1"], [1.0, "algorithm a3c"], [0.97, "arl-plugin-corridor 0.3.1"]]


def test_saved_configuration_stands_but_for_what_is_named_now(tmp_path: Path) -> None:
    file = tmp_path / "now.yaml"
    file.write_text("gamma: 0.8\n")
    saved = Layer("saved run", {"env": "gym:CartPole-v1", "learning_rate": 0.25, "gamma": 0.9, "num_workers": 5})
    named = Layer("command line", {"num_workers": 6})
    config, _ = resolve_run(named, config_file=file, environ={"ARL_LEARNING_RATE": "0.125"}, saved=saved)
    assert (config.config.learning_rate, config.origin("learning_rate")) == (0.25, "saved run")
    assert (config.config.gamma, config.origin("gamma")) == (0.8, str(file))
    assert (config.config.num_workers, config.origin("num_workers")) == (6, "command line")


def test_plugin_defaults_encoder_and_options_have_owners(fakes: Any) -> None:
    fakes.corridor()
    result = fakes.python(
        """
        from arl_core.config import Layer, merge_layers
        from arl_core.registry import resolve_run
        result = []
        long = {"env": "corridor:long", "encoder": "mlp", "env_options": {"slippery": "on"}}
        for layer in ({"env": "corridor"}, long):
            config, env = resolve_run(Layer("keyword", layer), environ={})
            run = config.config
            result.append([run.env, run.gamma, config.origin("gamma"), run.encoder, config.origin("encoder"),
                           run.env_options, env.options, [maker for maker, _ in env.wrappers]])
        """
    )
    plugin = "arl-plugin-corridor 0.3.1"
    wrappers = ["arl_plugin_corridor:double"]
    options = {"view": "near", "slippery": False, "doors": [], "width": None}
    assert result == [
        ["corridor:short", 0.97, plugin, "corridor/onehot", plugin, {}, options, wrappers],
        ["corridor:long", 0.99, "core", "mlp", "keyword", {"slippery": True}, {**options, "slippery": True}, wrappers],
    ]


def test_overrides_are_a_layer_of_their_owner() -> None:
    layer = param_overrides(resolve_env("gym:CartPole-v1"), "appo")
    assert layer is not None
    assert layer.origin == f"arl-core {__version__}"
    assert layer.values == _PARAMS["gym:CartPole-v1"]
    assert param_overrides(resolve_env("gym:Blackjack-v1"), "appo") is None


@pytest.mark.parametrize("env", _PARAMS)
def test_defaults_of_the_classics_are_a_configuration(env: str) -> None:
    config = merge_layers([Layer("core", {"env": env, **_PARAMS[env]})]).config
    assert {name: getattr(config, name) for name in _PARAMS[env]} == _PARAMS[env]


class LocalEnv:
    """Stands for a class of the user's script; resolving does not build it."""


def test_an_environment_given_as_a_class() -> None:
    config, env = resolve_run(Layer("keyword", {"env": LocalEnv, "gamma": 0.5}), environ={"ARL_ENV": "nonsense"})
    assert config.config.env == env.id
    assert env.id.startswith("py:")
    assert env.id.endswith(":LocalEnv")
    assert (env.dist, env.version) == ("", "")
    assert config.config.gamma == 0.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 1}, "keyword: no configuration field 'gama'. Did you mean 'gamma'?"),
        ({"gamma": 2}, "gamma (from keyword): input should be less than or equal to 1, got 2"),
        (
            {"inference": "locl"},
            "inference (from keyword): input should be 'auto', 'measured', 'local' or 'central', got 'locl'. "
            "Did you mean 'local'?",
        ),
        ({"encoder": "mpl"}, "no encoder 'mpl'. Did you mean 'mlp'?"),
        ({"env_options": "x"}, "env_options (from keyword): input should be a valid dictionary, got 'x'"),
    ],
)
def test_mistakes_name_their_origin(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_run(CARTPOLE, Layer("keyword", values), environ={})
    assert str(caught.value) == message


def test_environment_variables() -> None:
    environ = {"ARL_WORKER_NUM_SPLITS": "none", "ARL_ENV_OPTIONS": "{size: 3}", "ARL_ENCODER_TYPE": "none", "HOME": "/"}
    layer = environment_layer(environ)
    assert layer.values == {"worker_num_splits": None, "env_options": {"size": 3}, "encoder": "none"}
    hints = {
        "ARL_GAMA": "Did you mean 'ARL_GAMMA'?",
        "ARL_OBSERVATION": "Options of the environment: ARL_ENV_OPTIONS='{name: value}'",
    }
    for name, hint in hints.items():
        with pytest.raises(UserError) as caught:
            environment_layer({name: "1"})
        assert str(caught.value) == f"environment variable {name}: no such configuration field. {hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: 1", "{file}: no configuration field 'gama'. Did you mean 'gamma'?"),
        ("- 1", "{file}: must be a mapping of configuration fields, such as 'gamma: 0.99'"),
        ("gamma: 1\nx: [", "{file}, line 2: not YAML: expected the node content, but found '<stream end>'"),
        ("x: !!python/object/apply:os.system [ls]", "{file}, line 1: not YAML: None"),
    ],
)
def test_yaml_mistakes_name_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        yaml_layer(file)
    assert str(caught.value).startswith(message.format(file=file).removesuffix("None"))


def test_yaml_numbers_and_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("learning_rate: 1e-3\ntrain_for_env_steps: 2e6\nalgo: APPO\n")
    config = resolve_run(CARTPOLE, config_file=file, environ={"ARL_BATCH_SIZE": "4.096e3"})[0].config
    assert (config.learning_rate, config.train_for_env_steps, config.algo, config.batch_size) == (1e-3, 2_000_000, "appo", 4096)
    with pytest.raises(UserError, match=r"batch_size .*: input should be a valid integer"):
        resolve_run(CARTPOLE, environ={"ARL_BATCH_SIZE": "4.5e0"})
    with pytest.raises(UserError, match=r"no\.yaml: cannot be read: No such file or directory"):
        yaml_layer(tmp_path / "no.yaml")


@pytest.mark.parametrize("env", ["[maze]", "3", "{maze: 5}"])
def test_an_environment_that_is_no_text_is_told(env: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"env: {env}\n")
    with pytest.raises(UserError, match=r"run\.yaml: env: expected a name, such as maze, got "):
        resolve_run(config_file=file, environ={})


@pytest.mark.parametrize("env", ["py:os:system", "gym:os:X-v0", "arl-core::py:os:system", "gym_os:X-v0"])
def test_a_file_alone_names_no_code_to_run(env: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(f"env: {env}\nenv_options: {{command: 'touch {tmp_path}/touched'}}\n")
    message = f"a file alone may not name code to run, such as '{env}'. Name it yourself: --env {env}"
    with pytest.raises(UserError) as caught:
        resolve_run(config_file=file, environ={})
    assert str(caught.value) == f"{file}: {message}"
    with pytest.raises(UserError) as caught:
        resolve_run(saved=Layer("saved run", {"env": env}), environ={})
    assert str(caught.value) == f"saved run: {message}"
