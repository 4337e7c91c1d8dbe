"""Parse `--name VALUE`, `--name=VALUE`, switches, and `--family.option VALUE`, with mistakes told in one line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

TRUE = {"true", "yes", "on", "1"}
FALSE = {"false", "no", "off", "0"}


def mistake(message: str) -> Exception:
    """The `UserError` to raise. Its module imports NumPy, which a command that makes no mistake need not wait for."""
    from arl_core.interfaces import UserError

    return UserError(message)


@dataclass
class Parsed:
    """What was typed: flags by their names with underscores, options by (family, name), None where no value followed, and what
    is no flag."""

    values: dict[str, str | bool] = field(default_factory=dict)
    options: dict[tuple[str, str], str | None] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)
    help: bool = False


def parse(
    arguments: Sequence[str],
    flags: Mapping[str, bool],
    *,
    legacy: Mapping[str, str] | None = None,
    positional: Sequence[str] = (),
    own: Callable[[], Collection[str]] = list,
) -> Parsed:
    """Parse `arguments`; `flags` maps each flag to whether it is a switch, `legacy` older spellings to flags.

    `positional` names what may stand without a flag: such a word after a switch is not the switch's value. The last of
    repeated flags wins. `own` gives an environment's options, "family.option", which an unknown flag may mean too. Raises
    UserError.
    """
    parsed = Parsed()
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        if token in {"-h", "--help"}:
            parsed.help = True
        elif token.startswith("--") and len(token) > 2:
            name, equals, text = token[2:].partition("=")
            attached = text if equals else None
            if "." in name:
                family, _, option = name.partition(".")
                parsed.options[family, option.replace("-", "_")] = _value(attached, rest)
            else:
                may_follow = len(parsed.positional) < len(positional)
                _flag(parsed, name, attached, rest, flags, legacy or {}, own, may_follow=may_follow)
        elif token.startswith("-") and len(token) > 1:
            raise mistake(f"no flag {token}.{_nearest_flag(token.lstrip('-'), flags)}")
        elif len(parsed.positional) < len(positional):
            parsed.positional.append(token)
        else:
            raise mistake(f"'{token}' is not a flag; flags are written --name VALUE{_example(token, flags)}")
    return parsed


def _example(word: str, flags: Collection[str]) -> str:
    """How a word without a flag may have been meant."""
    name = word.partition("=")[0]
    if "=" in word and (name.replace("-", "_") in flags or "." in name):
        return f", such as --{word}"
    return f", such as --env {word}" if "env" in flags and word.lower() not in TRUE | FALSE else ""


def _flag(
    parsed: Parsed,
    typed: str,
    attached: str | None,
    rest: list[str],
    flags: Mapping[str, bool],
    legacy: Mapping[str, str],
    own: Callable[[], Collection[str]],
    *,
    may_follow: bool,
) -> None:
    plain = typed.replace("-", "_")
    name = legacy.get(plain, plain)
    if flags.get(name):
        is_value = attached is not None or not may_follow or (rest and rest[0].lower() in TRUE | FALSE)
        parsed.values[name] = _switch(typed, _value(attached, rest) if is_value else None)
        return
    if name in flags:
        value = _value(attached, rest)
        if value is None:
            raise mistake(f"--{typed} needs a value")
        parsed.values[name] = value
        return
    negated = plain.removeprefix("no_")
    if negated != plain and flags.get(legacy.get(negated, negated)):
        if attached is not None:
            raise mistake(f"--{typed} takes no value")
        parsed.values[legacy.get(negated, negated)] = False
        return
    from arl_core.config.layers import check_moot

    check_moot(negated, f"--{typed}: ")
    raise mistake(f"no flag --{typed}.{_nearest_flag(plain, [*own(), *flags])}")


def _value(attached: str | None, rest: list[str]) -> str | None:
    """The value of a flag: attached by "=", or the next word, which may be a negative number but no flag."""
    if attached is not None:
        return attached
    if rest and (not rest[0].startswith("-") or _is_number(rest[0]) or rest[0] == "-"):
        return rest.pop(0)
    return None


def _switch(name: str, text: str | None) -> bool:
    if text is None or text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    hint = ". --experiment names the run" if name == "resume" else ""
    raise mistake(f"--{name}: expected true or false, got '{text}'{hint}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def positive(parsed: Parsed, name: str) -> float | None:
    """The number that was given for a flag, greater than 0; None where it was not given. Raises UserError."""
    text = str(parsed.values.get(name, "nan"))
    value = float(text) if _is_number(text) else 0.0
    if name in parsed.values and not 0.0 < value < float("inf"):
        raise mistake(f"--{name}: expected a number greater than 0, got '{text}'")
    return value if name in parsed.values else None


def whole(parsed: Parsed, name: str, least: int) -> int | None:
    """The whole number that was given for a flag; None where it was not given. Raises UserError."""
    text = str(parsed.values.get(name, least))
    if not text.isdecimal() or int(text) < least:
        raise mistake(f"--{name}: expected a whole number of at least {least}, got '{text}'")
    return int(text) if name in parsed.values else None


def _nearest_flag(name: str, flags: Iterable[str]) -> str:
    """The nearest flag. Options, "family.option", are called by their own names."""
    from arl_core.config.layers import nearest

    full = {flag.rpartition(".")[2]: flag for flag in flags}
    _, found, rest = nearest(name, full).partition("'")
    return f" Did you mean --{full[rest.partition(found)[0]]}?" if found else " See --help"
