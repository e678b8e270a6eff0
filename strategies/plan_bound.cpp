#include "strategies/plan_bound.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <string_view>

namespace rehearse {
namespace {

// A stage of the model, or one of the graphs in it.
struct Cost {
  std::int64_t forward = 0, backward = 0;  // picoseconds
  std::int64_t kept = 0;                   // bytes that a forward leaves for its backward

  Cost& operator+=(const Cost& o) {
    forward += o.forward;
    backward += o.backward;
    kept += o.kept;
    return *this;
  }
};

std::int64_t net_bytes(const Segment& segment) {
  std::int64_t sum = 0;
  for (const Instr& i : segment.instrs)
    if (const auto* c = std::get_if<MemoryChange>(&i.what))
      sum += c->allocate ? c->bytes.value : -c->bytes.value;
  return sum;
}

// Of a segment's time, what keeps the compute stream from anything else.
std::int64_t computing(const PricedSegment& segment) {
  std::int64_t sum = 0;
  for (const auto& [activity, ps] : segment.share.parts_ps)
    if (activity != Activity::kCollective) sum += ps;
  return sum;
}

// The cheapest of the ways to run a graph: gradients of a first micro-batch are not added up. Where
// a forward of one copy of the model runs beside a backward of the other (`hides`), the kernels of
// each may hide the other's communication: they alone count.
Cost cost_of(SegmentMaker& graph, bool split, bool hides, const Program& program, Prices& prices) {
  const auto duration = [&](SegmentId id) {
    prices.update();
    const PricedSegment& segment = prices.segment(0, id);
    return hides ? computing(segment) : segment.run.duration;
  };
  Cost out;
  const SegmentId forward = graph.forward();
  out.forward = duration(forward);
  out.kept = net_bytes(program.segments[forward]);
  for (const SegmentMaker::Cast& cast : graph.casts_left()) out.kept -= cast.bytes.value;
  if (!graph.has_backward()) return out;
  out.backward = std::numeric_limits<std::int64_t>::max();
  for (const GradientStore store : {GradientStore::kFresh, GradientStore::kAccumulate}) {
    out.backward = std::min(out.backward, duration(graph.backward(store)));
    if (!split) continue;
    const std::int64_t inputs = duration(graph.backward_inputs(store));
    out.backward = std::min(out.backward, inputs + duration(graph.backward_weights(store)));
  }
  return out;
}

bool forward(const Action& a) { return a.kind == ActionKind::kForward; }

class Bounds {
 public:
  Bounds(const ResolvedPlan& plan, std::vector<Cost> stages)
      : plan_(plan), stages_(std::move(stages)) {
    const std::string_view name = plan.schedule->name;
    known_ = plan.pipeline > 1 && (name == "1f1b" || name == "interleaved-1f1b");
  }

  // The least time between two ends of a step on a rank.
  std::int64_t time(int rank, const std::vector<Action>& actions) const {
    std::int64_t work = 0;
    for (int c = 0; c < plan_.chunks; ++c) {
      const Cost& chunk = of(rank, c);
      work += (chunk.forward + chunk.backward) * plan_.micro_batches_of_copy();
    }
    if (!known_) return work;
    const auto first_backward =
        std::find_if(actions.begin(), actions.end(), [](const Action& a) { return !forward(a); });
    const auto last_forward = std::find_if(actions.rbegin(), actions.rend(), forward).base() - 1;
    const int first_chunk = actions.front().chunk, last_chunk = actions.back().chunk;
    const std::int64_t warm_up = idle(after(rank, first_chunk, &Cost::forward) +
                                          after(rank, first_backward->chunk, &Cost::backward),
                                      actions.begin() + 1, first_backward, rank);
    const std::int64_t cool_down = idle(
        after(rank, last_forward->chunk, &Cost::forward) + after(rank, last_chunk, &Cost::backward),
        last_forward + 1, actions.end() - 1, rank);
    std::int64_t between = 0;
    for (int s = 0; s < rank; ++s) between += stage(s).forward + stage(s).backward;
    const bool apart = first_backward < last_forward;
    return work + between + (apart ? warm_up + cool_down : std::max(warm_up, cool_down));
  }

  // What a rank's forwards before its first backward leave.
  std::int64_t kept(int rank, const std::vector<Action>& actions) const {
    if (plan_.plan.offload.activations) return 0;
    std::int64_t sum = 0;
    for (const Action& a : actions) {
      if (!forward(a)) break;
      sum += of(rank, a.chunk).kept;
    }
    return std::max<std::int64_t>(0, sum);
  }

 private:
  using At = std::vector<Action>::const_iterator;

  const Cost& stage(int s) const { return stages_[static_cast<std::size_t>(s)]; }
  const Cost& of(int rank, int chunk) const {
    return stage(stage_of(*plan_.schedule, plan_.pipeline, rank, chunk));
  }
  std::int64_t after(int rank, int chunk, std::int64_t Cost::*part) const {
    std::int64_t sum = 0;
    for (int s = stage_of(*plan_.schedule, plan_.pipeline, rank, chunk) + 1; s < plan_.stages();
         ++s)
      sum += stage(s).*part;
    return sum;
  }
  // What is left of a time in which the rank does these actions.
  std::int64_t idle(std::int64_t time, At begin, At end, int rank) const {
    for (; begin < end; ++begin) {
      const Cost& chunk = of(rank, begin->chunk);
      time -= forward(*begin) ? chunk.forward : chunk.backward;
    }
    return std::max<std::int64_t>(0, time);
  }

  const ResolvedPlan& plan_;
  std::vector<Cost> stages_;
  bool known_ = false;
};

}  // namespace

PlanBound plan_bound(const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                     const SharedSegments& segments, Program& program, Prices& prices) {
  const bool split = plan.schedule->splits_backward, hides = plan.schedule->copies() > 1;
  const Cost embedding = cost_of(segments.embedding(), split, hides, program, prices);
  const Cost head = cost_of(segments.head(), split, hides, program, prices);
  std::vector<Cost> stages;
  std::map<const SegmentMaker*, Cost> layers;  // known already
  int layer = 0;
  for (const int count : plan.stage_layers) {
    stages.emplace_back();
    for (const int end = layer + count; layer < end; ++layer) {
      SegmentMaker& graph = segments.layer(layer);
      const auto [known, added] = layers.try_emplace(&graph);
      if (added) known->second = cost_of(graph, split, hides, program, prices);
      stages.back() += known->second;
    }
  }
  stages.front() += embedding;
  stages.back() += head;
  const Bounds bounds(plan, std::move(stages));

  PlanBound out;
  out.step_time = SimTime(std::numeric_limits<std::int64_t>::max());
  // Beyond its warm-up and before its cool-down a schedule repeats.
  const bool repeats = std::string_view(plan.schedule->name) != "gpipe";
  const int micro_batches =
      repeats ? std::min(plan.micro_batches, 4 * plan.pipeline) : plan.micro_batches;
  for (int r = 0; r < plan.pipeline; ++r) {
    const auto actions = plan.schedule->actions({plan.pipeline, r, micro_batches, plan.chunks});
    out.step_time = std::min(out.step_time, SimTime(bounds.time(r, actions)));
    // Ranks in the middle keep what the second does.
    if (r > 1 && r + 1 < plan.pipeline) continue;
    const std::int64_t resident = resident_bytes(program, r, plan, model, runtime, segments).value;
    out.memory = max(out.memory, Bytes(resident + bounds.kept(r, actions)));
  }
  return out;
}

}  // namespace rehearse
