#include "tools/cli/dump.hpp"

#include <fmt/format.h>

#include <iterator>

#include "models/op_graph.hpp"
#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "strategies/build_program.hpp"

namespace rehearse {
namespace {

using Out = std::back_insert_iterator<std::string>;

void tree(std::string& text, const Value& v, int depth) {
  const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
  if (v.is_map()) {
    for (const auto& [key, value] : v.as_map()) {
      text += indent + key + ":";
      if (value.is_scalar()) text += " " + value.as_scalar().text;
      text += "\n";
      if (!value.is_scalar()) tree(text, value, depth + 1);
    }
  } else if (v.is_list()) {
    for (const Value& item : v.as_list()) {
      text += indent + "-" + (item.is_scalar() ? " " + item.as_scalar().text : "") + "\n";
      if (!item.is_scalar()) tree(text, item, depth + 1);
    }
  }
}

std::string scenario_text(const Scenario& sc, const Simulation& s) {
  std::string out =
      fmt::format("scenario: {}\nruntime: {}\nplan: {}\nmicro_batches: {}\nstage_layers: [{}]\n",
                  sc.name, sc.runtime_name, plan_text(s.plan), s.plan.micro_batches,
                  fmt::join(s.plan.stage_layers, ", "));
  out += "model:\n";
  tree(out, sc.model, 1);
  out += "cluster:\n";
  tree(out, sc.cluster, 1);
  return out;
}

std::string model_text(const Simulation& s) {
  std::string out;
  const ModelGraphs graphs = build_graphs(s.model, graph_options(s.plan));
  for (const OpGraph* g : {&graphs.embedding, &graphs.block, &graphs.head}) {
    out += fmt::format("{}{}: {} parameters\n", g->name,
                       g == &graphs.block ? fmt::format(" x {}", s.model.layers) : "",
                       g->parameter_count());
    for (const Op& op : g->ops) {
      out += fmt::format("  {:<20} {:<18}", op.name, to_string(op.kind));
      for (TensorId t : op.outputs) {
        const Tensor& x = g->tensor(t);
        out += fmt::format(" {} [", x.name);
        for (std::size_t d = 0; d < x.dims.size(); ++d)
          out += fmt::format("{}{}", d ? ", " : "", x.dims[d].size);
        out += fmt::format("] {}", to_string(x.dtype));
      }
      out += "\n";
    }
  }
  return out;
}

struct StepText {
  const Program& p;
  std::string operator()(const RunSegment& r) const {
    return fmt::format("run {} frame {}", p.segments[r.segment].name, r.frame);
  }
  std::string operator()(const RunKernel& k) const {
    return fmt::format("kernel {} on {}", p.names[k.kernel.name], to_string(k.stream));
  }
  std::string operator()(const RunCollective& c) const {
    return fmt::format("{} {} bytes over {} on {}", to_string(c.work.op), c.work.bytes.value,
                       to_string(c.work.group), to_string(c.stream));
  }
  std::string operator()(const Send& s) const {
    return fmt::format("send {} bytes to {} tag {}", s.bytes.value, s.peer, s.tag);
  }
  std::string operator()(const Receive& r) const {
    return fmt::format("receive {} bytes from {} tag {}", r.bytes.value, r.peer, r.tag);
  }
  std::string operator()(const Exchange& x) const {
    std::vector<std::string> halves;
    for (const Exchange::Half& h : x.halves)
      halves.push_back(fmt::format("{} {} bytes {} {} tag {}", h.sends ? "send" : "receive",
                                   h.bytes.value, h.sends ? "to" : "from", h.peer, h.tag));
    return fmt::format("exchange: {}", fmt::join(halves, ", "));
  }
  std::string operator()(const Record& r) const {
    return fmt::format("record event {} on {}", r.event, to_string(r.stream));
  }
  std::string operator()(const Wait& w) const {
    return fmt::format("wait event {} on {}", w.event, to_string(w.stream));
  }
  std::string operator()(const HostWait& w) const {
    return fmt::format("host waits event {}", w.event);
  }
  std::string operator()(const Memory& m) const {
    return fmt::format("{} {} bytes", m.change.allocate ? "allocate" : "free",
                       m.change.bytes.value);
  }
};

std::string program_text(const Simulation& s) {
  std::string out;
  for (const RankProgram& r : s.program.ranks) {
    out += fmt::format("rank {} (pipeline rank {}, represents {}): {} steps\n", r.rank,
                       r.pipeline_rank, r.represents, r.steps.size());
    for (const Step& step : r.steps)
      out += fmt::format("  micro_batch {} chunk {}: {}\n", step.micro_batch, step.chunk,
                         std::visit(StepText{s.program}, step.work));
  }
  return out;
}

std::string tasks_text(const Simulation& s, bool times) {
  std::string out;
  const TaskGraph& g = s.lowered.graph;
  const Annotations& notes = s.lowered.notes;
  for (TaskId t = 0; t < g.size(); ++t) {
    const TaskInfo& i = notes.tasks[t];
    const StreamId stream = g.hot(t).stream;
    out += fmt::format("{} rank {} {}: {}", t, notes.devices[i.device].rank,
                       stream == kNoStream ? "-" : notes.streams[stream].name, notes.names[i.name]);
    if (times)
      out += fmt::format(" start_ps {} end_ps {}\n", s.timeline.start[t].ps, s.timeline.end[t].ps);
    else
      out += fmt::format(" duration_ps {} then [{}]\n", g.hot(t).duration_ps,
                         fmt::join(g.successors(t), ", "));
  }
  return out;
}

}  // namespace

std::vector<std::string> dump_stages() {
  return {"scenario", "model", "program", "tasks", "timeline"};
}

std::string dump_stage(const std::string& stage, const Scenario& scenario, const Simulation& s) {
  if (stage == "scenario") return scenario_text(scenario, s);
  if (stage == "model") return model_text(s);
  if (stage == "program") return program_text(s);
  if (stage == "tasks" || stage == "timeline") return tasks_text(s, stage == "timeline");
  throw UserError({}, fmt::format("no stage '{}' to dump", stage),
                  suggestion(stage, dump_stages()));
}

}  // namespace rehearse
