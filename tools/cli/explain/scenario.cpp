#include "tools/cli/explain/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/format.hpp"
#include "sim/base/suggest.hpp"
#include "strategies/live_tensors.hpp"
#include "strategies/memory.hpp"
#include "tools/cli/explain/critical_path.hpp"
#include "tools/cli/explain/kernels.hpp"
#include "tools/cli/explain/pipeline.hpp"
#include "tools/cli/explain/sensitivity.hpp"
#include "tools/cli/memory_report.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

std::string share(Seconds part, Seconds whole) {
  return fmt::format("{:5.1f} %", 100 * ratio(part, whole));
}

std::string part(const char* name, Seconds time, Seconds whole, const char* meaning) {
  return fmt::format("  {:<22}{:>12}  {}  {}\n", name, format_seconds(time), share(time, whole),
                     meaning);
}

std::string parts_of(const RunReport& r) {
  const Breakdown& b = r.breakdown;
  return part("compute", b.compute, r.step_time, "forward, backward and recomputation kernels") +
         part("exposed communication", b.exposed_communication, r.step_time,
              "that the compute stream waits for, or runs") +
         part("pipeline bubble", b.pipeline_bubble, r.step_time, "waits for another stage") +
         part("host", b.host, r.step_time, "waits for the host to issue") +
         part("optimizer", b.optimizer, r.step_time, "its kernels");
}

std::string step_time(const Scenario& scenario) {
  const Simulation s = simulate(scenario);
  const RunReport& r = s.report;
  return fmt::format(
      "step_time = {}: the period of back-to-back steps, on the slowest rank (rank {})\n"
      "  = compute + exposed communication + pipeline bubble + host + optimizer\n{}\n"
      "tokens_per_second = global_batch_size x sequence_length / step_time\n"
      "  = {} x {} / {:.6g} s = {:.6g}\n"
      "mfu = model FLOPs / (step_time x GPUs x dense peak) = {:.4g}, 6N + 12 l h s FLOPs a token, "
      "not causal\n\n"
      "compute and optimizer are sums over kernels, time = max(FLOPs / (peak x efficiency), bytes "
      "/ (bandwidth x efficiency)) + fixed;\nsustained clocks under the power limit:\n{}",
      format_seconds(r.step_time), slowest_rank(s), parts_of(r), s.plan.training.global_batch_size,
      s.plan.training.sequence_length, r.step_time.value, r.tokens_per_second, r.mfu,
      kernel_table(s, {}, 15));
}

// The tensors that a rank of the fullest stage holds at its peak.
std::string tensors_at_peak(const Simulation& s) {
  const RankProgram* fullest = nullptr;
  Bytes peak(0);
  for (const RankProgram& rank : s.program.ranks)
    if (const Bytes own = rank_memory(s.program, rank, false).peak; !fullest || own > peak) {
      fullest = &rank;
      peak = own;
    }
  constexpr std::size_t kMost = 16;
  const std::vector<LiveTensors> tensors = live_at_peak(s.program, *fullest);
  std::string out = fmt::format("tensors of stage {} at its peak\n", fullest->pipeline_rank);
  Bytes rest(0);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const LiveTensors& t = tensors[i];
    if (i >= kMost)
      rest += t.bytes;
    else
      out += fmt::format("  {:<28}{:<18}{:>6} x {:>9} = {:>9}\n", t.name,
                         memory_category_name(t.category), t.count,
                         format_bytes(Bytes(t.bytes.value / t.count)), format_bytes(t.bytes));
  }
  if (rest.value > 0) out += fmt::format("  {:<66}{:>9}\n", "others", format_bytes(rest));
  for (const StageReport& stage : s.report.stages)
    if (stage.pipeline_stage == fullest->pipeline_rank && stage.peak_memory > peak)
      out += fmt::format("  {:<66}{:>9}\n", "blocks beyond what was asked of them (not cut off)",
                         format_bytes(stage.peak_memory - peak));
  return out;
}

std::string peak_memory(const Scenario& scenario) {
  const Simulation s = simulate(scenario);
  const RunReport& r = s.report;
  std::string out = fmt::format(
      "peak_memory = {} ({} bytes): the most that the tensors of one rank take at one time, in the "
      "order\nin which its host allocates and frees them, in blocks of PyTorch's allocator "
      "(torch.cuda.max_memory_allocated)\n",
      format_bytes(r.peak_memory), format_count(r.peak_memory.value));
  for (const StageReport& stage : r.stages) {
    out += fmt::format("stage {}: {} =\n", stage.pipeline_stage, format_bytes(stage.peak_memory));
    for (std::size_t i = 0; i < stage.at_peak.size(); ++i)
      out += fmt::format("  {:<20}{:>12}  {:>20} bytes\n",
                         memory_category_name(static_cast<MemoryCategory>(i)),
                         format_bytes(stage.at_peak[i]), format_count(stage.at_peak[i].value));
  }
  out += tensors_at_peak(s);
  const std::int64_t parameters = r.parameters;
  out += fmt::format(
      "inputs: {} parameters; precision {}; ZeRO stage {}; micro-batch of {} x {} tokens; "
      "recompute as given\n"
      "reserved = {}: what the caching allocator holds in whole segments\n"
      "fits: reserved + {} (CUDA context, communicators) {} {} usable\n",
      format_count(parameters), r.precision, s.plan.plan.zero_stage,
      s.plan.training.micro_batch_size, s.plan.training.sequence_length,
      format_bytes(r.peak_reserved), format_bytes(r.memory_overhead), r.fits ? "<=" : ">",
      format_bytes(r.memory_capacity));
  for (const std::string& line : r.memory_advice) out += "  " + line + "\n";
  return out;
}

std::string bubble(const Scenario& scenario) {
  const Simulation s = simulate(scenario);
  const RunReport& r = s.report;
  const int p = s.plan.pipeline;
  const auto micro_batches = s.plan.micro_batches;
  std::string out = fmt::format(
      "pipeline bubble = {} of a step of {}: what the slowest rank waits for other stages\n"
      "  over total: {:.4f} (waiting / step)\n"
      "  over ideal: {:.4f} (waiting / rest of the step)\n",
      format_seconds(r.breakdown.pipeline_bubble), format_seconds(r.step_time),
      bubble_over_total(r.breakdown), bubble_over_ideal(r.breakdown));
  if (p == 1) return out + "one stage: nothing to wait for\n";
  const double v = s.plan.plan.virtual_stages, m = static_cast<double>(micro_batches);
  return out +
         fmt::format(
             "closed form of equal stages, p = {}, m = {}, v = {}: over total (p - 1) / (v m + p - "
             "1) = {:.4f},\nover ideal (p - 1) / (v m) = {:.4f}. The rest is uneven stages (the "
             "embedding, the head and the loss), messages and the host.\n",
             p, micro_batches, s.plan.plan.virtual_stages, (p - 1) / (v * m + p - 1),
             (p - 1) / (v * m));
}

std::string communication(const Scenario& scenario) {
  const Simulation s = simulate(scenario);
  const RunReport& r = s.report;
  std::string out =
      "communication of the slowest rank in a step. payload: the full buffer; wire: what leaves "
      "the rank, one direction\n";
  out += fmt::format("  {:<16}{:<10}{:>7}{:>12}{:>12}{:>12}{:>12}\n", "operation", "group", "count",
                     "payload", "wire", "time", "exposed");
  for (const CommunicationRow& row : r.communication)
    out += fmt::format("  {:<16}{:<10}{:>7}{:>12}{:>12}{:>12}{:>12}\n", row.operation, row.group,
                       row.count, format_bytes(row.payload), format_bytes(row.wire_bytes_per_rank),
                       format_seconds(row.time), format_seconds(row.exposed));
  out += fmt::format(
      "wire bytes of a ring over n ranks: all_reduce 2 (n-1)/n payload; all_gather, "
      "reduce_scatter, all_to_all (n-1)/n payload\n"
      "links: inside a node {} at {} a GPU and direction, {} a hop",
      s.cluster.intra_node.type, format_rate(s.cluster.intra_node.bandwidth),
      format_seconds(s.cluster.intra_node.latency));
  if (s.cluster.nodes > 1)
    out += fmt::format("; between nodes {} NICs of {}, {} at {}", s.cluster.nics_per_node,
                       s.cluster.inter_node.type, format_rate(s.cluster.inter_node.bandwidth),
                       format_seconds(s.cluster.inter_node.latency));
  return out + "\n'rehearse price all_reduce cluster=... ranks=... bytes=...' prices one alone\n";
}

constexpr Explanation kTable[] = {
    {"step_time", "what the step is made of, and its largest kernels", &step_time},
    {"peak_memory", "what fills the memory at its peak, stage by stage", &peak_memory},
    {"bubble", "waiting for other pipeline stages, in both conventions", &bubble},
    {"pipeline", "a chart of the pipeline: what every rank runs when, and its bubble",
     &pipeline_text},
    {"communication", "operations, groups, volumes and times", &communication},
    {"critical_path", "the chain of work that the step's length comes from", &critical_path_text},
    {"sensitivity", "what 10 % faster parts would give, by simulating again", &sensitivity_text},
};

}  // namespace

std::span<const Explanation> explanations() { return kTable; }

std::string explain_scenario(const Scenario& scenario, const std::string& what) {
  for (const Explanation& e : kTable)
    if (e.what == what) return e.text(scenario);
  const Simulation s = simulate(scenario);
  std::vector<std::string> names = operator_names(s);
  if (std::find(names.begin(), names.end(), what) != names.end())
    return fmt::format("operator {}, on the slowest rank (rank {})\n{}", what, slowest_rank(s),
                       kernel_table(s, what, 100));
  for (const Explanation& e : kTable) names.emplace_back(e.what);
  throw UserError({}, fmt::format("nothing to explain is called '{}'", what),
                  suggestion(what, names));
}

}  // namespace rehearse
