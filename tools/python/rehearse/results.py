"""Results as plain objects: fields by name, tables as frames."""


class Record:
    """A JSON object whose fields are attributes; nested objects are Records."""

    def __init__(self, fields):
        self._fields = fields

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(f"no field '{name}'; there are {', '.join(self._fields)}")
        value = self._fields[name]
        return Record(value) if isinstance(value, dict) else value

    def __dir__(self):
        return [*super().__dir__(), *self._fields]

    def __eq__(self, other):
        return isinstance(other, Record) and self._fields == other._fields

    def to_dict(self):
        return self._fields

    def __repr__(self):
        return "\n".join(f"{key}: {value}" for key, value in self._fields.items())


class Result(Record):
    """What `rehearse run --json` says. Fields: step_time_s, tokens_per_second, mfu,
    peak_memory_bytes, fits_in_memory, breakdown_s, ...; `stages`, `communication` and `memory` are
    frames."""

    @property
    def stages(self):
        """A row a pipeline stage: its peak, and the bytes of each category at the peak."""
        import pandas

        rows = [{**{k: v for k, v in stage.items() if not isinstance(v, dict)},
                 **stage["memory_at_peak_bytes"]} for stage in self._fields["stages"]]  # fmt: skip
        return pandas.DataFrame(rows)

    @property
    def communication(self):
        """A row a kind of communication: operation, group, count, bytes, time, exposed time."""
        import pandas

        return pandas.DataFrame(self._fields["communication"])

    def __repr__(self):
        f = self._fields
        verdict = "" if f["fits_in_memory"] else "  DOES NOT FIT"
        return (f"step {f['step_time_s'] * 1e3:.4g} ms, {f['tokens_per_second_per_gpu']:,.0f} tokens/s/GPU, "
                f"MFU {f['mfu'] * 100:.1f} %, peak {f['peak_memory_bytes'] / 1e9:.1f} GB of "
                f"{f['memory_capacity_bytes'] / 1e9:.1f} GB{verdict}")  # fmt: skip


class Price(Record):
    """One kernel or collective: time_s and what it follows from."""


class Timeline:
    """Tasks of the simulated ranks. `frame` has rank, stream, name, start_s, duration_s and the
    task's details (micro_batch, pass, ...); `trace` is the Chrome trace."""

    def __init__(self, trace):
        self.trace = trace

    @property
    def frame(self):
        import pandas

        events = self.trace["traceEvents"]
        streams = {(e["pid"], e["tid"]): e["args"]["name"] for e in events
                   if e.get("ph") == "M" and e["name"] == "thread_name"}  # fmt: skip
        rows = [{"rank": e["pid"], "stream": streams.get((e["pid"], e["tid"]), str(e["tid"])),
                 "name": e["name"], "start_s": e["ts"] * 1e-6, "duration_s": e["dur"] * 1e-6,
                 **e.get("args", {})} for e in events if e.get("ph") == "X"]  # fmt: skip
        return pandas.DataFrame(rows)
