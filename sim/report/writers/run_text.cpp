#include <fmt/format.h>

#include "sim/base/format.hpp"
#include "sim/report/run_report.hpp"
#include "sim/report/writers/economics_text.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;

std::string title(const RunReport& r) {
  std::string text = fmt::format("{} on {}", r.model, r.cluster);
  text += fmt::format(": {} {}{}", format_count(r.gpus), r.gpu, r.gpus == 1 ? "" : " GPUs");
  if (!r.runtime.empty()) text += ", " + r.runtime;
  if (!r.precision.empty()) text += ", " + r.precision;
  std::string out = wrap("", text);
  if (!r.plan_text.empty()) {
    out +=
        wrap(r.plan_name.empty() ? "plan: " : fmt::format("plan {}: ", r.plan_name), r.plan_text);
  }
  return out;
}

std::string memory_verdict(const RunReport& r) {
  const Bytes needed = r.peak_reserved + r.memory_overhead;
  const std::string sum =
      fmt::format("{} per GPU ({} reserved + {} CUDA context and communication buffers) of {}",
                  format_bytes(needed), format_bytes(r.peak_reserved),
                  format_bytes(r.memory_overhead), format_bytes(r.memory_capacity));
  if (r.fits) return wrap("memory          ", "fits: " + sum);
  std::string out = wrap("DOES NOT FIT IN MEMORY: ", "needs " + sum +
                                                         ". The numbers below are of "
                                                         "a GPU with enough of it.");
  for (const std::string& line : r.memory_advice) out += wrap("  - ", line);
  return out;
}

std::string serving_lines(const ServingReport& s) {
  const auto spread = [](const char* name, const Spread& v) {
    return fmt::format("{} mean {}, p50 {}, p95 {}, p99 {}\n", name,
                       format_seconds(Seconds(v.mean)), format_seconds(Seconds(v.p50)),
                       format_seconds(Seconds(v.p95)), format_seconds(Seconds(v.p99)));
  };
  return fmt::format("requests        {} in {}, {} preemptions\n", format_count(s.requests),
                     format_seconds(Seconds(s.duration)), s.preemptions) +
         spread("first token    ", s.first_token) + spread("output token   ", s.per_output_token) +
         fmt::format(
             "decoding        {:.1f} sequences a step, {} of them wanted; the step below is "
             "the mean one\n",
             s.batch, format_percent(s.occupied));
}

std::string headline(const RunReport& r) {
  std::string out;
  if (r.serving) out += serving_lines(*r.serving);
  const char* task = r.task == "prefill"  ? ", a prefill of the batch"
                     : r.task == "decode" ? ", one for every sequence"
                                          : "";
  out += fmt::format("step time       {}   {} tokens a step{}\n", format_seconds(r.step_time),
                     format_count(r.tokens_per_step), task);
  if (r.step_high > r.step_low)
    out += fmt::format("90 % interval   {} to {}: nine of ten measured steps should lie in it\n",
                       format_seconds(r.step_low), format_seconds(r.step_high));
  if (r.kv_cache_peak.value > 0)
    out += fmt::format("KV cache        {} a GPU\n", format_bytes(r.kv_cache_peak));
  out += fmt::format("throughput      {:.1f} tokens/s, {:.1f} per GPU\n", r.tokens_per_second,
                     r.tokens_per_second_per_gpu);
  out += fmt::format("model FLOP/s    {:.1f} TFLOP/s per GPU\n", r.model_tflops_per_gpu);
  out += fmt::format("utilisation     MFU {}, MFU causal {}, HFU {}   of the dense peak\n",
                     format_percent(r.mfu), format_percent(r.mfu_causal), format_percent(r.hfu));
  out += fmt::format("GPUs compute    {} of the step, mean over GPUs\n",
                     format_percent(r.utilisation));
  out += fmt::format("parameters      {}", format_count(r.parameters));
  if (r.trainable_parameters != r.parameters && r.task == "training")
    out += fmt::format(", {} trained", format_count(r.trainable_parameters));
  out += "\n";
  return out;
}

std::string variation_lines(const RunReport& r) {
  std::string out;
  if (const Trials& t = r.trials; !t.step_times.empty())
    out += wrap(
        "trials          ",
        fmt::format("{} steps: mean {} (95 % within {} to {}), deviation {}, {} to {}",
                    t.step_times.size(), format_seconds(t.mean), format_seconds(t.interval_low),
                    format_seconds(t.interval_high), format_seconds(t.deviation),
                    format_seconds(t.least), format_seconds(t.most)));
  if (r.goodput) {
    const Goodput& g = *r.goodput;
    out +=
        wrap("goodput         ",
             fmt::format("{} of the time, {:.1f} tokens/s: a failure every {}, a checkpoint of {} "
                         "every {} (best {}, Young {}), restart {}",
                         format_percent(g.share), g.tokens_per_second,
                         format_seconds(g.failures.mean_time_between),
                         format_seconds(g.failures.checkpoint), format_seconds(g.interval),
                         format_seconds(g.best), format_seconds(g.young),
                         format_seconds(g.failures.restart)));
  }
  return out;
}

std::string breakdown_section(const RunReport& r) {
  const Breakdown& parts = r.breakdown;
  const Seconds total = parts.total();
  TextTable table({{"where the step goes", Align::kLeft}, {"time"}, {"share"}, {"", Align::kLeft}});
  const auto add = [&](const char* name, Seconds time, std::string remark = {}) {
    const double share = total.value > 0 ? ratio(time, total) : 0.0;
    table.add_row({name, format_seconds(time), format_percent(share), std::move(remark)});
  };
  add("compute", parts.compute, "forward, backward, recomputation");
  add("exposed communication", parts.exposed_communication);
  add("pipeline bubble", parts.pipeline_bubble,
      parts.pipeline_bubble.value > 0
          ? fmt::format("over total {}, over ideal {}", format_percent(bubble_over_total(parts)),
                        format_percent(bubble_over_ideal(parts)))
          : "");
  add("host", parts.host, "the GPU waits for kernels to be issued");
  add("optimizer", parts.optimizer);
  add("total", total);
  return table.to_string("");
}

std::string memory_section(const RunReport& r) {
  TextTable table({{"stage"},
                   {"parameters"},
                   {"gradients"},
                   {"optimizer"},
                   {"activations"},
                   {"temporary"},
                   {"peak"},
                   {"reserved"},
                   {"capacity"}});
  for (const StageReport& stage : r.stages) {
    std::vector<std::string> row{std::to_string(stage.pipeline_stage)};
    for (const Bytes bytes : stage.at_peak) row.push_back(format_bytes(bytes));
    row.push_back(format_bytes(stage.peak_memory));
    row.push_back(format_bytes(stage.peak_reserved));
    row.push_back(format_bytes(r.memory_capacity));
    table.add_row(std::move(row));
  }
  return "memory of a GPU at its peak, by pipeline stage\n" + table.to_string("  ");
}

std::string communication_section(const RunReport& r) {
  TextTable table({{"operation", Align::kLeft},
                   {"group", Align::kLeft},
                   {"count"},
                   {"payload"},
                   {"wire per rank"},
                   {"time"},
                   {"exposed"}});
  for (const CommunicationRow& row : r.communication) {
    table.add_row({row.operation, row.group, format_count(row.count), format_bytes(row.payload),
                   format_bytes(row.wire_bytes_per_rank), format_seconds(row.time),
                   format_seconds(row.exposed)});
  }
  return "communication of the slowest GPU in a step (payload: full buffers; wire: what it "
         "sends)\n" +
         table.to_string("  ");
}

std::string transfers_section(const RunReport& r) {
  std::string out = "rests on transfers, or on what was not measured\n";
  for (const CarriedOver& t : r.transfers) {
    const std::string share =
        t.share > 0 ? fmt::format(" ({} of the step)", format_percent(t.share)) : "";
    out += wrap("  - ", fmt::format("{}{}: {}", t.what, share, t.source));
  }
  return out;
}

std::string simulation_line(const RunReport::Simulation& s) {
  return wrap("simulated: ",
              fmt::format("{} of {} ranks, {} tasks, {} events in {}; structure {}, timing {}",
                          s.simulated_ranks, format_count(s.ranks),
                          format_count(static_cast<std::int64_t>(s.tasks)),
                          format_count(static_cast<std::int64_t>(s.events)),
                          format_seconds(Seconds(s.wall_s)), s.structure_hash, s.timing_hash));
}

}  // namespace

std::string run_text(const RunReport& report) {
  std::string out = title(report) + "\n";
  if (!report.fits) out += memory_verdict(report) + "\n";
  out += headline(report);
  out += variation_lines(report);
  if (report.fits) out += memory_verdict(report);
  out += economics_text(report);
  out += "\n" + breakdown_section(report);
  if (!report.stages.empty()) out += "\n" + memory_section(report);
  if (!report.communication.empty()) out += "\n" + communication_section(report);
  if (!report.transfers.empty()) out += "\n" + transfers_section(report);
  out += "\n" + simulation_line(report.simulation);
  return out;
}

}  // namespace rehearse
