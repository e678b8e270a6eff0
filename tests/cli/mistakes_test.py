"""A user's mistakes: where, why, and what would be right; all of a file at once; exit code 2."""

import os
import stat
import unittest

from harness import CommandTest, TINY


class ScenarioMistakesTest(CommandTest):
    def complaint(self, text, *arguments):
        self.write("s.yaml", text)
        return self.refused("run", "s.yaml", "--json", "out.json", *arguments)

    def test_unknown_key_has_the_nearest_name(self):
        text = self.complaint(TINY + "plan:\n  tensor_paralel: 2\n")
        self.assertIn("s.yaml:6:3: error: plan: unknown key 'tensor_paralel' "
                      "(did you mean 'tensor_parallel'?)", text)

    def test_key_in_the_wrong_section_is_sent_to_the_right_one(self):
        text = self.complaint(TINY + "recompute: full\n")
        self.assertIn("s.yaml:5:1: error: unknown key 'recompute'", text)
        self.assertIn("did you mean 'training.recompute'?", text)

    def test_wrong_type(self):
        text = self.complaint(TINY + "plan: {zero_stage: lots}\n")
        self.assertIn("s.yaml:5:20: error: plan.zero_stage: expected an integer, got 'lots'", text)

    def test_value_that_is_none_of_the_choices(self):
        text = self.complaint(TINY.replace("global_batch_size: 16", "global_batch_size: 16, recompute: ful"))
        self.assertIn("s.yaml:4:", text)
        self.assertIn("did you mean 'full'?", text)

    def test_wrong_unit(self):
        for value in ("25 GB/s", "25 furlongs", "25"):
            with self.subTest(value=value):
                text = self.complaint(TINY + f"plan: {{bucket_size: {value}}}\n")
                self.assertIn("s.yaml:5:21: error: plan.bucket_size", text)
                self.assertIn(value, text)

    def test_wrong_unit_of_a_cluster(self):
        text = self.complaint(TINY.replace("{name: h200-4}",
                                           "{name: h200-4, intra_node: {bandwidth: 450 GB}}"))
        self.assertIn("s.yaml:3:", text)
        self.assertIn("450 GB", text)

    def test_duplicate_key(self):
        text = self.complaint(TINY + "plan:\n  zero_stage: 1\n  zero_stage: 3\n")
        self.assertIn("s.yaml:7:3: error:", text)
        self.assertIn("zero_stage", text)

    def test_missing_key(self):
        text = self.complaint("model: gpt2\ncluster: h200-4\ntraining:\n  sequence_length: 128\n")
        self.assertIn("missing key 'micro_batch_size'", text)
        self.assertIn("missing key 'global_batch_size'", text)
        self.assertIn("s.yaml:3:", text)

    def test_unknown_model_cluster_and_runtime(self):
        text = self.complaint("model: gtp2\ncluster: h200-5\nruntime: pytorch-eagre\n"
                              "training: {sequence_length: 8, micro_batch_size: 1, global_batch_size: 4}\n")
        self.assertIn("s.yaml:1:8: error: unknown model 'gtp2' (did you mean 'gpt2'?)", text)
        self.assertIn("s.yaml:2:10: error: unknown cluster 'h200-5' (did you mean 'h200-", text)
        self.assertIn("(did you mean 'pytorch-eager'?)", text)

    def test_mistakes_inside_the_model_and_the_cluster_come_with_the_others(self):
        text = self.complaint("model: {name: gpt2, n_lyer: 2}\ncluster: {name: dgx-h100, nodez: 2}\n"
                              "training: {sequence_lenght: 8, micro_batch_size: 1, global_batch_size: 4}\n")
        self.assertIn("s.yaml:1:21: error: model: unknown key 'n_lyer'", text)
        self.assertIn("s.yaml:2:27: error: cluster: unknown key 'nodez' (did you mean 'nodes'?)", text)
        self.assertIn("(did you mean 'sequence_length'?)", text)

    def test_mistakes_of_the_model_and_the_cluster_come_together(self):
        text = self.complaint("model: {name: gpt2, n_lyer: 2}\ncluster: {name: dgx-h100, nodez: 2}\n"
                              "training: {sequence_length: 8, micro_batch_size: 1, global_batch_size: 8}\n")
        self.assertIn("'n_lyer'", text)
        self.assertIn("'nodez'", text)

    def test_missing_file_of_a_model(self):
        text = self.complaint(TINY.replace(TINY[:TINY.index("cluster")], "model: ./nowhere.json\n"))
        self.assertIn("nowhere.json", text)
        self.assertIn("no such file", text)

    def test_gpus_that_do_not_multiply_out(self):
        text = self.complaint(TINY + "plan: {data_parallel: 3, tensor_parallel: 2}\n")
        self.assertRegex(text, r"s\.yaml:5:\d+: error: data_parallel 3 x tensor_parallel 2 .* = 6 ranks, "
                               r"but the cluster has 4 GPUs")

    def test_heads_that_do_not_divide(self):
        text = self.complaint(TINY.replace("num_attention_heads: 8", "num_attention_heads: 6")
                              .replace("num_key_value_heads: 4", "num_key_value_heads: 2, head_dim: 8")
                              + "plan: {tensor_parallel: 4}\n")
        self.assertRegex(text, r"s\.yaml:5:\d+: error: 6 heads of model inline do not divide by tensor_parallel 4")

    def test_micro_batches_that_do_not_divide(self):
        text = self.complaint(TINY.replace("global_batch_size: 16", "global_batch_size: 18"))
        self.assertRegex(text, r"s\.yaml:4:\d+: error: global_batch_size 18 is not a multiple of "
                               r"micro_batch_size 1 x data_parallel 4 = 4")

    def test_interleaved_micro_batches_that_are_no_multiple_of_the_pipeline(self):
        text = self.complaint(TINY.replace("global_batch_size: 16", "global_batch_size: 6") +
                              "plan: {pipeline_parallel: 4, virtual_stages: 2}\n")
        self.assertIn("needs micro-batches in multiples of pipeline_parallel 4, but there are 6", text)

    def test_more_chunks_than_layers(self):
        text = self.complaint(TINY + "plan: {pipeline_parallel: 4, virtual_stages: 4}\n")
        self.assertRegex(text, r"s\.yaml:5:\d+: error: 16 model chunks .* are more than the 8 layers")

    def test_several_mistakes_at_once(self):
        text = self.complaint(TINY.replace("micro_batch_size: 1", "micro_batch_size: 0") +
                              "plan: {zero_stage: 7, tensor_paralel: 2}\nfoo: 1\n")
        self.assertEqual(text.count("error:"), 4, text)
        for part in ("micro_batch_size", "zero_stage", "tensor_paralel", "'foo'"):
            self.assertIn(part, text)

    def test_several_mistakes_of_a_plan_at_once(self):
        text = self.complaint(TINY.replace("global_batch_size: 16", "global_batch_size: 7") +
                              "plan: {data_parallel: 2, tensor_parallel: 3}\n")
        for part in ("cluster has 4 GPUs", "8 heads", "not a multiple"):
            self.assertIn(part, text)

    def test_mistakes_of_set_name_it(self):
        self.write("s.yaml", TINY)
        text = self.refused("run", "s.yaml", "--set", "plan.zero_stag=3", "--set", "plan.pipeline_parallel=x")
        self.assertIn("--set: error: plan: unknown key 'zero_stag' (did you mean 'zero_stage'?)", text)
        self.assertIn("--set: error: plan.pipeline_parallel: expected an integer, got 'x'", text)

    def test_set_without_a_value(self):
        self.write("s.yaml", TINY)
        self.assertIn("key=value", self.refused("run", "s.yaml", "--set", "plan.zero_stage"))


class FileMistakesTest(CommandTest):
    def test_missing_scenario(self):
        self.assertEqual(self.refused("run", "none.yaml"), "none.yaml: error: no such file\n")

    def test_unknown_scenario_has_the_nearest_name(self):
        self.assertIn("did you mean 'llama3-8b-4xh200'?", self.refused("run", "llama3-8b-4xh20"))

    def test_folder_in_place_of_a_scenario(self):
        os.mkdir(self.path("folder.yaml"))
        self.assertIn("folder.yaml", self.refused("run", "folder.yaml"))

    def test_text_that_is_not_yaml(self):
        self.write("s.yaml", "model: [gpt2\ncluster: }\n")
        self.assertRegex(self.refused("run", "s.yaml"), r"s\.yaml:\d+:\d+: error: ")

    def test_bytes_that_are_no_text(self):
        with open(self.path("s.yaml"), "wb") as file:
            file.write(bytes(range(256)) * 4)
        self.assertIn("s.yaml", self.refused("run", "s.yaml"))

    def test_empty_file(self):
        self.write("s.yaml", "")
        self.assertIn("s.yaml", self.refused("run", "s.yaml"))

    def test_yaml_that_is_no_scenario(self):
        for text in ("just text\n", "[1, 2]\n", "3\n"):
            with self.subTest(text=text):
                self.write("s.yaml", text)
                self.assertIn("expected a scenario", self.refused("run", "s.yaml"))

    def test_bomb_of_aliases(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        for i in range(1, 12):
            lines.append(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]")
        self.write("s.yaml", "\n".join(lines) + "\n")
        self.assertRegex(self.refused("run", "s.yaml"), r"s\.yaml:\d+:\d+: error: .*alias")

    def test_deep_nesting(self):
        self.write("s.yaml", "model: " + "[" * 20000 + "]" * 20000 + "\n")
        self.assertIn("s.yaml", self.refused("run", "s.yaml"))

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_unreadable_file(self):
        self.write("s.yaml", TINY)
        os.chmod(self.path("s.yaml"), 0)
        self.addCleanup(os.chmod, self.path("s.yaml"), stat.S_IRUSR | stat.S_IWUSR)
        self.assertIn("s.yaml", self.refused("run", "s.yaml"))


class OutputMistakesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY)

    def test_output_in_a_folder_that_is_not_there(self):
        for option in ("--json", "--trace"):
            with self.subTest(option=option):
                text = self.refused("run", "s.yaml", option, "nowhere/out.json")
                self.assertIn("cannot write 'nowhere/out.json'", text)
                self.assertIn("there is no directory 'nowhere'", text)

    def test_output_that_is_a_folder(self):
        os.mkdir(self.path("out"))
        self.assertIn("it is a directory", self.refused("run", "s.yaml", "--json", "out"))

    def test_full_disk(self):
        result = self.rehearse("run", "s.yaml", "--json", "/dev/full")
        self.assertEqual(result.returncode, 2)
        self.assertIn("/dev/full", result.stderr)
        self.assertIn("No space left on device", result.stderr)

    def test_a_mistake_leaves_an_older_file_as_it_was(self):
        self.write("out.json", "old")
        self.refused("run", "s.yaml", "--json", "out.json", "--set", "plan.zero_stage=9")
        with open(self.path("out.json"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "old")


class PlanMistakesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("s.yaml", TINY + "plans: {ddp: {}, fsdp: {zero_stage: 3}}\n")

    def test_several_plans_need_a_choice(self):
        text = self.refused("run", "s.yaml")
        self.assertIn("2 plans (ddp, fsdp)", text)
        self.assertIn("--plan", text)

    def test_unknown_plan_has_the_nearest_name(self):
        self.assertIn("no plan 'fspd' in the scenario (did you mean 'fsdp'?)",
                      self.refused("run", "s.yaml", "--plan", "fspd"))

    def test_unknown_stage_to_dump_has_the_nearest_name(self):
        self.assertIn("did you mean 'tasks'?",
                      self.refused("run", "s.yaml", "--plan", "ddp", "--dump", "taks"))


if __name__ == "__main__":
    unittest.main()
