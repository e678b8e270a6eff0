"""How a file of tests/data/published is written: a scenario, and a table of runs laid over it."""


def text(value):
    """One value in flow style."""
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(text(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    value = str(value)
    plain = all(c not in value for c in ":#,[]{}'\"*&~") and value != "-"
    alias = value.startswith("*") and value[1:].isidentifier()
    return value if plain or alias else "'" + value.replace("'", "''") + "'"


def write(path, source, assumed, scenario, rows, models=None, rank_within=None):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = ["source:"]
    for key, value in source.items():
        out.append(f"  {key}: {text(value)}")
    out.append("assumed:  # where the source leaves a choice open")
    out += [f"  - {text(a)}" for a in assumed]
    if models:
        out.append("models:")
        out += [f"  - &{name} {text(m)}" for name, m in models.items()]
    if rank_within:
        out.append(f"rank_within: {text(rank_within)}")
    out.append("scenario:  # what every run has, unless its row says otherwise")
    for section, value in scenario.items():
        out.append(f"  {section}: {text(value)}")
    out.append(f"columns: {text(columns)}")
    out.append("runs:")
    for row in rows:
        out.append("  - [" + ", ".join(text(row.get(c)) for c in columns) + "]")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")
    print(f"{path}: {len(rows)} runs")
