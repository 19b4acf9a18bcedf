"""YAML that remembers on which line everything stands, so that an error can say where."""

import re

import yaml


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but 1e5 is a number, and yes, no, on and off are words."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def load(text, name):
    """Plain data of a YAML document, and the line (from 1) of every part: path (tuple of keys and indices) -> line.

    Raises
    ------
    ValueError
        What is no YAML, holds a key twice, or has an empty document; the message names the line.
    """
    loader = _Loader(text)
    loader.own = {}  # mapping node -> its names, before others are merged into it
    try:
        node = loader.get_single_node()
        if node is None:
            raise ValueError(f"{name}: expected a study, got an empty file")
        lines = {}
        return _plain(loader, node, (), lines, name), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{name}{where}: expected YAML, got: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: expected YAML, got: {error}") from None
    finally:
        loader.dispose()


def _plain(loader, node, path, lines, name):
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, (*path, i), lines, name) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    result = {}
    # "<<: *other" puts the other's names first, and those that stand here overrule them
    own = loader.own.setdefault(id(node), {id(key) for key, _ in node.value})
    loader.flatten_mapping(node)
    seen = set()
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise ValueError(f"{name}, line {line}: expected a name, got {key!r}")
        if key in seen:
            first = lines[(*path, key)]
            raise ValueError(
                f"{name}, line {line}: expected every name once, got {key!r} again (first on line {first})"
            )
        if id(key_node) in own:
            seen.add(key)
        lines[(*path, key)] = line
        result[key] = _plain(loader, value_node, (*path, key), lines, name)
    return result
