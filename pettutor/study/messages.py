"""Errors of a configuration in words: where, what was expected, what came."""

import difflib

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "greater_than_equal": "a number >= {ge:g}",
    "greater_than": "a number > {gt:g}",
    "less_than_equal": "a number <= {le:g}",
    "less_than": "a number < {lt:g}",
    "literal_error": "{expected}",
    "model_type": "settings (name: value)",
    "model_attributes_type": "settings (name: value)",
    "dict_type": "settings (name: value)",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "a name",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a name (no spaces at its ends; matching {pattern})",
    "missing": "a value",
    "union_tag_invalid": "{expected_tags}",
    "union_tag_not_found": "a value",
}


def explain(error, *, name, lines, data, model):
    """Lines of text for a pydantic ValidationError.

    Parameters
    ----------
    error : pydantic.ValidationError
    name : str
        How the user knows the configuration: a file name.
    lines : dict
        Path -> line, where the configuration came from a file; else empty.
    data : dict
        The configuration as it came.
    model : type
        The pydantic model, to know the settings that there are.
    """
    texts = {}
    for item in error.errors(include_url=False):
        path, known = _path(item, data, model)
        line = next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), None)
        where = f"{name}, line {line}" if line else name
        dotted = ".".join(str(p) for p in path)
        texts.setdefault(f"{where}: {dotted + ': ' if dotted else ''}{_words(item, path, known)}", line or 0)
    return "\n".join(sorted(texts, key=texts.get))


def _path(item, data, model):
    """The path in the user's own data, and the names known where it ends (for an unknown one)."""
    path, here = [], data
    for step in item["loc"]:
        if isinstance(here, dict):
            if step in here or (item["type"] in ("missing",) and step == item["loc"][-1]):
                path.append(step)
                here = here.get(step)
        elif isinstance(here, list | tuple) and isinstance(step, int) and step < len(here):
            path.append(step)
            here = here[step]
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append("algorithm")
    return tuple(path), model.names_at(tuple(path[:-1]), data)


def near_miss(word, words):
    """ " (did you mean 'x'?)", or nothing."""
    close = difflib.get_close_matches(str(word).lower(), [w.lower() for w in words], n=1, cutoff=0.6)
    match = next((w for w in words if close and w.lower() == close[0]), None)
    return f" (did you mean {match!r}?)" if match else ""


def _words(item, path, known):
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        hint = near_miss(path[-1], known)
        return (
            f"expected one of {', '.join(known)}, got an unknown setting{hint}" if known else "unknown setting" + hint
        )
    if kind == "missing" or kind == "union_tag_not_found":
        tags = context.get("discriminator") and ", ".join(known)
        return f"expected {'one of ' + tags if tags else 'a value'}, got none"
    if kind == "union_tag_invalid":
        words = [w.strip(" '") for w in context["expected_tags"].split(",")]
        return f"expected one of {', '.join(words)}, got {context['tag']!r}{near_miss(context['tag'], words)}"
    if kind == "literal_error":
        words = [w.strip(" '") for w in context["expected"].replace(" or ", ", ").split(",")]
        hint = near_miss(value, words) if isinstance(value, str) else ""
        return f"expected one of {', '.join(words)}, got {value!r:.80}{hint}"
    pattern = _EXPECTED.get(kind)
    if pattern is None:
        return f"{item['msg']}, got {value!r:.80}"
    return f"expected {pattern.format(**context)}, got {value!r:.80}"
