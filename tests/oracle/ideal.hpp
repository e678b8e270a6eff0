#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/config/scenario.hpp"
#include "sim/config/value.hpp"
#include "tools/cli/simulation.hpp"

// Small idealised scenarios, simulated in the test's own process.
//
// The GPU of these scenarios has 1 TFLOP/s and an infinitely fast memory, so that only matrix
// products take time, and they take FLOPs / peak. GPUs are `gpus` in one node; links are infinitely
// fast unless a test says otherwise.
namespace rehearse::test {

inline constexpr double kIdealPeak = 1e12;

struct Ideal {
  std::string model;  // a name, or a mapping in YAML's flow style
  int gpus = 1;
  std::string link = "bandwidth: inf, latency: 0 us";
  std::string training;  // sequence_length, micro_batch_size, global_batch_size, ...
  std::string plan;
  std::string runtime = "pytorch-eager";

  std::string text() const {
    return fmt::format(
        "model: {}\n"
        "cluster:\n"
        "  gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: 1 "
        "TFLOP/s}},\n"
        "        memory: 1000 TB, memory_bandwidth: inf}}\n"
        "  gpus_per_node: {}\n"
        "  intra_node: {{type: nvswitch, {}}}\n"
        "training: {{causal: false, attention: unfused, {}}}\n"
        "plan: {{{}}}\n"
        "runtime: {}\n",
        model, gpus, link, training, plan, runtime);
  }
};

inline Simulation simulate_text(const std::string& text) {
  SimulationOptions options;
  options.ideal = true;
  return simulate(read_scenarios(parse_text(text, "test"), "test").front(), options);
}

inline Simulation simulate(const Ideal& ideal) { return simulate_text(ideal.text()); }

// Batches of the least size: `micro_batches` of one short sequence for each of `data` ranks.
inline std::string micro_batches(int n, int data = 1) {
  return fmt::format("sequence_length: 64, micro_batch_size: 1, global_batch_size: {}", n * data);
}

// A llama without biases, as small as may be, whose table has one row.
inline std::string tiny_model(int layers, int hidden = 64) {
  return fmt::format(
      "{{model_type: llama, hidden_size: {0}, intermediate_size: {0}, num_attention_heads: 1, "
      "num_hidden_layers: {1}, vocab_size: 1, tie_word_embeddings: true}}",
      hidden, layers);
}

// The schedule alone: what the plan made of the scenario, with a block's forward taking `forward`
// and its backward `backward`, and everything else on the device nothing. Where a backward is cut
// into pieces, the first takes it all, so that gradients exist at its end. Where a schedule splits
// backward, `backward` is its first part and `weights` its second.
class Retimed {
 public:
  Retimed(const Ideal& ideal, SimTime forward, SimTime backward, SimTime weights = SimTime(0)) {
    Simulation s = simulate(ideal);
    plan = s.plan;
    program = std::move(s.program);
    Cluster cluster = s.cluster;
    cluster.gpu.memory_bandwidth = BytesPerSecond(1e12);  // a byte is a picosecond
    silence();
    for (const SegmentId id : first_pieces()) {
      Segment& segment = program.segments[id];
      const bool is_forward = segment.name == "block forward";
      const bool inputs = segment.name.starts_with("block backward inputs");
      const SimTime time = is_forward ? forward
                           : inputs   ? backward
                           : segment.name.starts_with("block backward weights")
                               ? weights
                               : backward + weights;
      const Instr work{Kernel{MemoryWork{"ideal", Bytes(time.ps), Bytes(0), 0}, 0}, Seconds(0), 0,
                       is_forward ? Activity::kForward : Activity::kBackward};
      segment.instrs.insert(segment.instrs.begin(), work);
    }
    const Lowered lowered = lower(program, cluster, {});
    const Timeline timeline = rehearse::simulate(lowered.graph);
    const StepWindow window = step_window(lowered.graph, timeline, lowered.notes);
    parts = step_account(lowered.graph, timeline, lowered.notes, window).parts;
    step = window.end - window.begin;
  }

  ResolvedPlan plan;
  Program program;
  SimTime step;  // the steady period of back-to-back steps
  StepParts parts;

 private:
  void silence() {
    for (Segment& segment : program.segments)
      for (Instr& i : segment.instrs)
        if (auto* k = std::get_if<Kernel>(&i.what)) k->work = MemoryWork{};
    for (RankProgram& rank : program.ranks)
      rank.steps.for_each_stored([](Step& s) {
        if (auto* k = std::get_if<RunKernel>(&s.work)) k->kernel.work = MemoryWork{};
      });
  }

  std::set<SegmentId> first_pieces() const {
    std::set<SegmentId> out;
    for (const RankProgram& rank : program.ranks) {
      std::string name;
      std::int32_t frame = -1;
      for (const Step& s : rank.steps) {
        const auto* run = std::get_if<RunSegment>(&s.work);
        if (!run) continue;
        const std::string& here = program.segments[run->segment].name;
        const bool continues = here == name && run->frame == frame;
        name = here;
        frame = run->frame;
        if (!continues && (name == "block forward" || name.starts_with("block backward")))
          out.insert(run->segment);
      }
    }
    return out;
  }
};

// Bytes of the messages between pipeline ranks in one step, by (from, to).
inline std::map<std::pair<int, int>, std::int64_t> message_bytes(const Program& program) {
  std::map<std::pair<int, int>, std::int64_t> out;
  for (std::size_t r = 0; r < program.ranks.size(); ++r)
    for (const Step& s : program.ranks[r].steps)
      if (const auto* send = std::get_if<Send>(&s.work))
        out[{static_cast<int>(r), send->peer}] += send->bytes.value;
  return out;
}

// A row of the report's communication, all sizes together.
struct Communicated {
  std::int64_t count = 0;
  std::int64_t payload = 0;
  std::int64_t wire = 0;
};

inline Communicated communicated(const Simulation& s, const std::string& operation,
                                 const std::string& group) {
  Communicated out;
  for (const CommunicationRow& row : s.report.communication) {
    if (row.operation != operation || row.group != group) continue;
    out.count += row.count;
    out.payload += row.payload.value;
    out.wire += row.wire_bytes_per_rank.value;
  }
  return out;
}

// Wire bytes per rank and step of a group, all operations together.
inline std::int64_t wire_bytes_of(const Simulation& s, const std::string& group) {
  std::int64_t out = 0;
  for (const CommunicationRow& row : s.report.communication)
    if (row.group == group) out += row.wire_bytes_per_rank.value;
  return out;
}

// Bytes by MemoryCategory that a rank has allocated during a step, without what it holds for the
// whole run, after each thing that its host does: `seen(step, before, after)`.
using Live = std::array<std::int64_t, kMemoryCategories>;

template <typename Seen>
void replay_memory(const Program& program, const RankProgram& rank, Seen seen) {
  Live live{};
  const auto apply = [&](const MemoryChange& c) {
    live[static_cast<std::size_t>(c.category)] += c.allocate ? c.bytes.value : -c.bytes.value;
  };
  for (const Step& s : rank.steps) {
    const Live before = live;
    if (const auto* run = std::get_if<RunSegment>(&s.work)) {
      for (const Instr& i : program.segments[run->segment].instrs)
        if (const auto* c = std::get_if<MemoryChange>(&i.what)) apply(*c);
    } else if (const auto* m = std::get_if<Memory>(&s.work)) {
      apply(m->change);
    }
    seen(s, before, live);
  }
}

// The most bytes of activations between two things that a rank's host does: after a forward,
// everything that is kept for backward, and nothing that lives inside an operator alone.
inline std::int64_t live_activations(const Simulation& s, std::size_t rank) {
  std::int64_t most = 0;
  replay_memory(
      s.program, s.program.ranks.at(rank), [&](const Step&, const Live&, const Live& now) {
        most = std::max(most, now[static_cast<std::size_t>(MemoryCategory::kActivations)]);
      });
  return most;
}

}  // namespace rehearse::test
