"""`APPO` from Python before it trains, promise by promise."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from run_support import descendants, same, small
from tiny_envs import Bandit, DictBandit, Memory

import arl_core
from arl_core import APPO, UserError


def test_the_constructor_starts_no_process_and_weights_are_there_by_value() -> None:
    before = {process.pid for process in descendants()}
    model = small()
    assert {process.pid for process in descendants()} == before
    weights = model.get_parameters()
    assert list(weights) == [0]
    assert all(value.device.type == "cpu" and not value.requires_grad for value in weights[0].values())
    original = {key: value.clone() for key, value in weights[0].items()}
    for value in weights[0].values():
        value.fill_(7)
    assert same(model.get_parameters()[0], original)
    assert not same(small(seed=99).get_parameters()[0], original)
    assert same(small().get_parameters()[0], original)  # the seed decides
    model.close()
    model.close()


def test_a_model_says_what_it_trains_and_how_far_it_is() -> None:
    with arl_core.IMPALA("gym:CartPole-v1", num_workers=1, num_envs_per_worker=4, policy_kwargs={"serial": True}) as model:
        assert repr(model) == "IMPALA('gym:CartPole-v1', num_workers=1, num_envs_per_worker=4, frames=0)"
        frames = model.train(200).frames
        assert repr(model).endswith(f", frames={frames})")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "gym:CartPol-v1"}, r"CartPole"),
        ({"env": "gym_CartPole-v1", "encoder": "mpl"}, r"mlp"),
        ({"env": Bandit, "policy_kwargs": {"learning_rat": 1e-3}}, r"learning_rate"),
        ({"env": Bandit, "policy_kwargs": {"gamma": 2.0}}, r"gamma"),
        ({"env": Bandit, "policy_kwargs": {1: 2}}, r"policy_kwargs: the name of a configuration field is text, not 1"),
        ({"env": Bandit, "policy_kwargs": [1]}, r"policy_kwargs: expected a dict"),
        ({"env": Bandit, "policy_kwargs": {"clip_range": 0.2}}, r"'clip_range' is not an option here. Instead: ppo_clip_ratio"),
        ({"env": Bandit, "policy_kwargs": {"rollout": 7, "batch_size": 64}}, r"multiple of rollout"),
        ({"env": Bandit, "num_workers": 0}, r"num_workers"),
        ({"env": Bandit, "encoder": "conv"}, r"image"),
        ({"env": Bandit, "encodersubtype": "mlp_mojoco"}, r"mlp_mujoco"),
        ({"env": Bandit, "encoder": Bandit}, r"encoder 'py:tiny_envs:Bandit' cannot be used for observations"),
        ({"env": Bandit, "encoder": lambda obs_space, cfg: None}, r"encoder NoneType has no integer output_size"),
        ({"env": Bandit, "policy_kwargs": {"wrappers": [Bandit]}}, r"wrappers.0 .*Your own code comes from a plugin"),
        ({"env": Bandit, "policy_kwargs": {"learning_rate": lambda part: part}}, r"A schedule is lr_schedule, or set_hyper"),
        ({"env": Bandit, "encoder": "py:mine:Net"}, r"encoder 'py:mine:Net' cannot be imported: ModuleNotFoundError"),
        (
            {"env": Bandit, "encoder": "mine_own"},
            r"no encoder 'mine_own'.*One of your own is py:my_module:attr, or comes from a plugin",
        ),
        ({"env": Bandit, "policy_kwargs": {"model": "py:Net"}}, r"model 'py:Net': write py:module:attr"),
        ({"env": "drone"}, r"no environment 'drone'\. Installed: .*\. One of your own is py:my_module:MyEnv$"),
        ({"env": Bandit, "policy_kwargs": {"net_arch": [64]}}, r"'net_arch' is not an option here\. Instead: encoder_layers"),
        ({"env": 5}, r"class or a callable"),
        ({"env": gym.make("CartPole-v1")}, r"each worker makes its own: give the class, or a lambda that makes one"),
        ({"env": "py:tiny_envs:Nothing"}, r"Nothing"),
        ({"env": Bandit, "device": "tpu"}, r"auto, cpu, gpu"),
        ({"env": Bandit, "policy_kwargs": {"seed": 2**63}}, r"seed .*less than or equal to 9223372036854775807"),
        ({"env": Bandit, "policy_kwargs": {"torch_threads": 10**11}}, r"torch_threads .*less than or equal to 1024"),
        ({"env": Bandit, "policy_kwargs": {"hidden_size": 10**9}}, r"hidden_size .*less than or equal to 16384"),
        ({"env": Bandit, "policy_kwargs": {"encoder_layers": 10**5}}, r"encoder_layers .*less than or equal to 128"),
        ({"env": Bandit, "policy_kwargs": {"stats_window": 10**20}}, r"stats_window .*less than or equal to 2147483647"),
        ({"env": Bandit, "policy_kwargs": {"train_for_env_steps": 10**19}}, r"train_for_env_steps .*less than or equal to"),
        (
            {"env": Bandit, "policy_kwargs": {"train_for_env_steps": 2**62, "num_policies": 2}},
            r"num_policies x train_for_env_steps must be at most 4611686018427387904",
        ),
    ],
)
def test_mistakes_fail_in_the_constructor_with_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        APPO(**arguments)
    assert "\n" not in str(caught.value)


def test_policy_kwargs_and_legacy_spellings() -> None:
    model = APPO(
        env="gym_CartPole-v1", encoder="mlp", encodersubtype="mlp_mujoco", num_workers=1, num_envs_per_worker=8,
        device=torch.device("cpu"), policy_kwargs={"reward_scale": 0.01},
    )  # fmt: skip
    cfg = model.config
    assert (cfg.encoder, cfg.encoder_subtype, cfg.num_envs_per_worker, cfg.reward_scale) == ("mlp", "mlp_mujoco", 8, 0.01)
    assert cfg.env == "gym:CartPole-v1"


@pytest.mark.parametrize(
    ("arguments", "layout"),
    [
        ({"env": Bandit}, (8, 2)),
        ({"env": Bandit, "num_workers": 3}, (3, 2)),
        ({"env": "gym:CartPole-v1"}, (2, 32)),  # whose plugin, here the core, was tuned with that
        ({"env": "gym:CartPole-v1", "num_workers": 3}, (3, 32)),
        ({"env": "gym:CartPole-v1", "policy_kwargs": {"num_envs_per_worker": 4}}, (2, 4)),
    ],
)
def test_what_is_left_out_is_the_environments(arguments: dict[str, Any], layout: tuple[int, int]) -> None:
    cfg = APPO(**arguments).config
    assert (cfg.num_workers, cfg.num_envs_per_worker) == layout


@pytest.mark.parametrize("frames", [-1, 1.5, "many", None, float("nan"), float("inf"), 10**19])
def test_a_number_of_frames_is_a_whole_one(frames: Any) -> None:
    with pytest.raises(UserError, match="train: expected a whole number of frames"):
        small().train(frames)


def test_a_whole_number_may_be_of_any_type_and_large() -> None:
    with small(Bandit, serial=True, seed=2**63 - 1) as model:
        frames = [model.train(number).frames for number in (np.int64(32), np.float32(32), 32.0)]
        assert frames == sorted(set(frames))
        assert model.train(2**62, callback=lambda _: False) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed: expected a whole number from 0 to 4294967295, got -1"),  # its streams are the training's
        ({"seed": 2**32}, "got 4294967296"),
        ({"seed": 1.5}, "got 1.5"),
        ({"episodes": 0}, "episodes: expected a whole number of at least 1, got 0"),
        ({"episodes": 2.5}, "got 2.5"),
    ],
)
def test_an_evaluation_of_odd_numbers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(Bandit).evaluate(**arguments)
    assert small(Bandit).evaluate(episodes=np.int64(1), seed=np.int64(2**32 - 1))["episodes"] == 1


class Threads(Bandit):
    """Notes on how many threads torch computes while it is stepped."""

    seen: ClassVar[set[int]] = set()

    def step(self, action: Any) -> Any:
        self.seen.add(torch.get_num_threads())
        return super().step(action)


def test_an_evaluation_has_one_thread_and_leaves_the_users_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for fields, expected in (({}, 1), ({"torch_threads": 3}, 3)):
            Threads.seen.clear()
            small(Threads, **fields).evaluate(episodes=3)
            assert Threads.seen == {expected}
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_predict_before_training() -> None:
    model = small(seed=5)
    one, state = model.predict(np.zeros(4, np.float32))
    assert state is None
    assert int(one) in (0, 1)
    assert np.shape(one) == ()
    batch, _ = model.predict(np.zeros((7, 4), np.float32), deterministic=True)
    assert batch.shape == (7,)
    assert len(set(batch.tolist())) == 1  # one observation, one most probable action
    with pytest.raises(UserError, match="shape"):
        model.predict(np.zeros(5, np.float32))


def test_predict_with_dict_observations_and_continuous_actions() -> None:
    model = small(DictBandit)
    rows = {"picture": np.zeros((3, 1, 12, 12), np.uint8), "vector": np.zeros((3, 3), np.float32)}
    assert model.predict(rows)[0].shape == (3,)
    assert np.shape(model.predict({key: value[0] for key, value in rows.items()})[0]) == ()
    wanted = "expected an observation with picture, vector, as the environment gives it, got "
    with pytest.raises(UserError, match=rf"^{wanted}an array of shape \(3, 3\)$"):
        model.predict(rows["vector"])
    with pytest.raises(UserError, match=r"^observation: 3 of 'picture', 1 of 'vector'; expected as many of each$"):
        model.predict({**rows, "vector": rows["vector"][0]})
    with pytest.raises(UserError, match=f"^{wanted}one with vector$"):
        model.predict({"vector": rows["vector"]})
    with pytest.raises(UserError, match=f"^{wanted}an array"):
        model.policy()(torch.from_numpy(rows["vector"]))
    pendulum = small("gym:Pendulum-v1")
    actions, _ = pendulum.predict(np.zeros((5, 3), np.float32))
    assert actions.shape == (5, 1)
    assert np.all(np.abs(actions) <= 2.0)
    assert pendulum.predict(np.zeros(3, np.float32))[0].shape == (1,)


def test_predict_carries_and_empties_recurrent_state() -> None:
    model = small(Memory, use_rnn=True)
    observation = np.ones((2, 2), np.float32)
    _, first = model.predict(observation)
    assert first is not None
    assert first.shape == (2, model._trainer.models[0].state_size)
    _, second = model.predict(observation, first, np.array([False, False]))
    _, begun = model.predict(observation, second, np.array([True, False]))
    assert second is not None
    assert begun is not None
    assert not np.allclose(first, second)
    np.testing.assert_allclose(begun[0], first[0], atol=1e-6)  # as from an empty memory
    assert not np.allclose(begun[1], first[1])


def test_the_spaces_are_those_after_the_runs_wrappers() -> None:
    for wrappers in ([], ["flatten-dict"]):
        model = small(DictBandit, wrappers=wrappers)
        env = model.get_env()
        assert (model.observation_space, model.action_space) == (env.observation_space, env.action_space)
    assert model.observation_space.shape == (12 * 12 + 3,)


def test_get_env_is_an_environment_of_the_run() -> None:
    env = small().get_env()
    assert isinstance(env, gym.Env)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4,)
    env.close()


def test_import_is_light_and_names_are_there() -> None:
    assert set(arl_core.__all__) <= set(dir(arl_core))
    assert arl_core.APPO is APPO
    with pytest.raises(AttributeError, match="nothing"):
        _ = arl_core.nothing


@pytest.mark.parametrize("serial", [True, False])
def test_a_linear_schedule_learns_in_a_call_past_the_plan(serial: bool) -> None:
    with small(Bandit, serial=serial, lr_schedule="linear", train_for_env_steps=256, learning_rate=1e-2) as model:
        model.train(256)
        before = model.get_parameters()[0]
        assert model.train(512) == 0
        assert not same(model.get_parameters()[0], before)


@pytest.mark.parametrize("callback", [object(), [print], "print"])
def test_a_callback_that_is_none_is_told_before_anything_starts(callback: Any) -> None:
    before = {process.pid for process in descendants()}
    with small(Bandit) as model:
        with pytest.raises(UserError, match=r"^train: callback is a function of the statistics, .*; got "):
            model.train(100, callback=callback)
        assert {process.pid for process in descendants()} == before
        for odd in (1, -1, "0", None):
            with pytest.raises(UserError, match=r"there is no policy .*: they are numbered from 0 to 0"):
                model.policy(odd)  # type: ignore[arg-type]


def test_what_predict_is_handed_back_is_looked_at() -> None:
    model = small(Memory, use_rnn=True)
    observation = np.ones(2, np.float32)
    _, state = model.predict(observation)
    _, kept = model.predict(observation, state, episode_start=False)
    _, emptied = model.predict(observation, state, episode_start=True)
    assert np.array_equal(emptied, state)
    assert not np.array_equal(kept, state)
    with pytest.raises(UserError, match=r"state has shape \(\); expected \(1, 64\), as predict returned it, or None"):
        model.predict(observation, 3)
    pair = np.stack([observation] * 2)
    _, states = model.predict(pair)
    for starts in ([True, False, True], [[True, False]]):
        with pytest.raises(UserError, match=r"episode_start has shape .*; expected \(2,\)"):
            model.predict(pair, states, episode_start=starts)
    for odd in ((observation, {}), "text", {"obs": observation}):
        with pytest.raises(UserError, match=r"observation 'obs' is \w+; expected numbers of shape \(2,\), or a batch of such"):
            model.predict(odd)


def test_fields_that_are_no_keywords_are_shown_their_place() -> None:
    with pytest.raises(UserError, match=r"APPO: 'learning_rate' belongs into policy_kwargs: policy_kwargs=\{'learning_rate'"):
        APPO("gym:CartPole-v1", learning_rate=1e-3)
    with pytest.raises(UserError, match=r"APPO: no argument 'polcy_kwargs'\. Did you mean 'policy_kwargs'\?"):
        APPO("gym:CartPole-v1", polcy_kwargs={"learning_rate": 1e-3})
    with pytest.raises(UserError, match=r"APPO: no configuration field 'num_worker'\. Did you mean 'num_workers'\?"):
        APPO("gym:CartPole-v1", num_worker=1)
    with pytest.raises(UserError, match=r"APPO: 'ent_coef' is not an option here\. Instead: exploration_loss_coeff"):
        APPO("gym:CartPole-v1", ent_coef=0.0)
    instead = r"is an option of the environment maze: policy_kwargs=\{'env_options': \{'max_steps': 5\}\}"
    with pytest.raises(UserError, match=rf"^APPO: 'max_steps' {instead}$"):
        APPO("maze", max_steps=5)
    with pytest.raises(UserError, match=rf"^policy_kwargs: 'max_steps' {instead}$"):
        APPO("maze", policy_kwargs={"max_steps": 5})
    with pytest.raises(UserError, match=r"num_workers is 1, and 3 in policy_kwargs\. Leave one of the two out"):
        APPO("gym:CartPole-v1", num_workers=1, policy_kwargs={"num_workers": 3})
    model = APPO("gym:CartPole-v1", num_workers=3, policy_kwargs={"num_workers": 3})
    assert model.config.num_workers == 3
    with pytest.raises(UserError, match=r"no environment 'MlpPolicy'\. The environment comes first; the network follows"):
        APPO("MlpPolicy", "gym:CartPole-v1")
    with pytest.raises(UserError, match=r"'policy' is not an option here\. Instead: the network follows"):
        APPO(policy="MlpPolicy", env="gym:CartPole-v1")
    with pytest.raises(UserError, match=r"'lr' is not an option here\. Instead: learning_rate"):
        model.set_hyperparameters(lr=1e-3)
