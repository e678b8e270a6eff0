"""`rehearse run --trace`: a Chrome trace that viewers read, plain or compressed."""

import collections
import gzip
import json
import unittest

from harness import CommandTest, TINY


class TraceTest(CommandTest):
    def trace(self, plan, name="x.json.gz"):
        self.write("s.yaml", TINY + f"plan: {plan}\n")
        self.done("run", "s.yaml", "--trace", name)
        opener = gzip.open if name.endswith(".gz") else open
        with opener(self.path(name), "rt", encoding="utf-8") as file:
            return json.load(file)

    def events(self, plan, phase):
        return [e for e in self.trace(plan)["traceEvents"] if e["ph"] == phase]

    def test_plain_and_compressed_hold_the_same(self):
        self.assertEqual(self.trace("{}", "x.json"), self.trace("{}"))

    def test_slices_have_what_viewers_need(self):
        for e in self.events("{pipeline_parallel: 2}", "X"):
            for key in ("name", "cat", "pid", "tid", "ts", "dur"):
                self.assertIn(key, e)
            self.assertGreater(e["dur"], 0)
            self.assertGreaterEqual(e["ts"], 0)

    def test_slices_of_a_stream_do_not_overlap(self):
        for plan in ("{}", "{zero_stage: 3}", "{pipeline_parallel: 4}", "{tensor_parallel: 4}"):
            with self.subTest(plan=plan):
                rows = collections.defaultdict(list)
                for e in self.events(plan, "X"):
                    # Whole picoseconds: microseconds with six decimals.
                    begin, length = round(e["ts"] * 1e6), round(e["dur"] * 1e6)
                    rows[e["pid"], e["tid"]].append((begin, begin + length))
                self.assertGreater(len(rows), 1)
                for row in rows.values():
                    row.sort()
                    for (_, end), (begin, _) in zip(row, row[1:]):
                        self.assertLessEqual(end, begin)

    def test_every_flow_begins_at_a_send_and_ends_at_its_receive(self):
        events = self.trace("{pipeline_parallel: 4}")["traceEvents"]
        starts = {e["id"]: e for e in events if e["ph"] == "s"}
        ends = {e["id"]: e for e in events if e["ph"] == "f"}
        # Each of 16 micro-batches crosses three boundaries twice, in each of two steps.
        self.assertEqual(len(starts), 16 * 3 * 2 * 2)
        self.assertEqual(set(starts), set(ends))
        for flow, start in starts.items():
            self.assertNotEqual(start["pid"], ends[flow]["pid"])
            self.assertLessEqual(start["ts"], ends[flow]["ts"])

    def test_memory_is_a_counter_of_five_parts(self):
        counters = self.events("{}", "C")
        self.assertGreater(len(counters), 100)
        for e in counters:
            self.assertEqual(len(e["args"]), 5)
            for value in e["args"].values():
                self.assertGreaterEqual(value, 0)

    def test_rows_are_named(self):
        names = {(e["name"], e["args"].get("name")) for e in self.events("{}", "M")}
        self.assertIn(("process_name", "rank 0"), names)
        self.assertIn(("thread_name", "compute"), names)
        self.assertIn(("thread_name", "host"), names)

    def test_every_slice_lies_on_a_named_row(self):
        events = self.trace("{pipeline_parallel: 2}")["traceEvents"]
        rows = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
        self.assertEqual({(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} - rows, set())


if __name__ == "__main__":
    unittest.main()
