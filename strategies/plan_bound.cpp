#include "strategies/plan_bound.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace rehearse {
namespace {

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

// Two copies of the model: a forward of one runs beside a backward of the other, and the kernels of
// each may hide the other's communication. They alone count.
bool hides_communication(const Schedule& schedule) { return schedule.copies() > 1; }

class Bounds {
 public:
  Bounds(const ResolvedPlan& plan, std::vector<StageCost> stages)
      : plan_(plan), stages_(std::move(stages)) {
    const std::string_view name = plan.schedule->name;
    known_ = plan.pipeline > 1 && (name == "1f1b" || name == "interleaved-1f1b");
  }

  // Whether a schedule's order says more than how much it has to do.
  bool order_matters() const { return known_; }

  // The least time between two ends of a step on a rank, of which there is an outline where the
  // order matters.
  std::int64_t time(int rank, const ScheduleOutline* outline) const {
    std::int64_t work = 0;
    for (int c = 0; c < plan_.chunks; ++c) {
      const StageCost& chunk = of(rank, c);
      work += (chunk.forward + chunk.backward) * plan_.micro_batches_of_copy();
    }
    if (!known_) return work;
    const std::int64_t warm_up =
        idle(after(rank, outline->first_forward, &StageCost::forward) +
                 after(rank, outline->first_backward, &StageCost::backward),
             outline->warm_up, rank);
    const std::int64_t cool_down =
        idle(after(rank, outline->last_forward, &StageCost::forward) +
                 after(rank, outline->last_backward, &StageCost::backward),
             outline->cool_down, rank);
    std::int64_t between = 0;
    for (int s = 0; s < rank; ++s) between += stage(s).forward + stage(s).backward;
    return work + between + (outline->apart ? warm_up + cool_down : std::max(warm_up, cool_down));
  }

  // What a rank's forwards before its first backward leave.
  std::int64_t kept(int rank, const ScheduleOutline& outline) const {
    if (plan_.plan.offload.activations) return 0;
    std::int64_t sum = 0;
    for (int c = 0; c < plan_.chunks; ++c)
      sum += of(rank, c).kept * outline.before_backward[static_cast<std::size_t>(c)];
    return std::max<std::int64_t>(0, sum);
  }

 private:
  const StageCost& stage(int s) const { return stages_[static_cast<std::size_t>(s)]; }
  const StageCost& of(int rank, int chunk) const {
    return stage(stage_of(*plan_.schedule, plan_.pipeline, rank, chunk));
  }
  std::int64_t after(int rank, int chunk, std::int64_t StageCost::*part) const {
    std::int64_t sum = 0;
    for (int s = stage_of(*plan_.schedule, plan_.pipeline, rank, chunk) + 1; s < plan_.stages();
         ++s)
      sum += stage(s).*part;
    return sum;
  }
  // What is left of a time in which the rank does these actions.
  std::int64_t idle(std::int64_t time, const std::vector<ChunkActions>& actions, int rank) const {
    for (int c = 0; c < plan_.chunks; ++c) {
      const ChunkActions& n = actions[static_cast<std::size_t>(c)];
      time -= n.forwards * of(rank, c).forward + n.backwards * of(rank, c).backward;
    }
    return std::max<std::int64_t>(0, time);
  }

  const ResolvedPlan& plan_;
  std::vector<StageCost> stages_;
  bool known_ = false;
};

}  // namespace

StageCost& StageCost::operator+=(const StageCost& o) {
  forward += o.forward;
  backward += o.backward;
  kept += o.kept;
  return *this;
}

// The cheapest of the ways to run a graph: gradients of a first micro-batch are not added up.
const StageCost& PlanBounds::cost_of(SegmentMaker& graph, const Schedule& schedule) {
  const bool split = schedule.splits_backward, hides = hides_communication(schedule);
  const auto [known, added] = costs_[split][hides].try_emplace(&graph);
  StageCost& out = known->second;
  if (!added) return out;
  const auto duration = [&](SegmentId id) {
    prices_.update();
    const PricedSegment& segment = prices_.segment(0, id);
    return hides ? computing(segment) : segment.run.duration;
  };
  const SegmentId forward = graph.forward();
  out.forward = duration(forward);
  out.kept = net_bytes(program_.segments[forward]);
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

void PlanBounds::forget_other_groups() {
  constexpr GroupKind kInside[] = {GroupKind::kTensor, GroupKind::kContext, GroupKind::kExpert};
  bool same = true;
  for (const GroupKind kind : kInside) {
    const auto k = static_cast<std::size_t>(kind);
    same &= groups_[k] == program_.groups[k];
    groups_[k] = program_.groups[k];
  }
  if (same) return;
  for (auto& row : costs_)
    for (Costs& costs : row) costs.clear();
}

std::vector<StageCost> PlanBounds::stages_of(const ResolvedPlan& plan) {
  std::vector<StageCost> stages;
  int layer = 0;
  for (const int count : plan.stage_layers) {
    stages.emplace_back();
    for (const int end = layer + count; layer < end; ++layer)
      stages.back() += cost_of(segments_.layer(layer), *plan.schedule);
  }
  stages.front() += cost_of(segments_.embedding(), *plan.schedule);
  stages.back() += cost_of(segments_.head(), *plan.schedule);
  if (runtime_.frees_sent_outputs) replace_outputs(stages, plan);
  return stages;
}

// In place of its output a stage keeps its input, which it has received. Where not all layers
// train, not every stage keeps that.
void PlanBounds::replace_outputs(std::vector<StageCost>& stages, const ResolvedPlan& plan) const {
  const OpGraph& g = segments_.layer(0).graph();
  const std::int64_t message = runtime_.allocated(g.tensor(g.input).bytes()).value;
  const auto owner = [&](std::size_t stage) {
    return place_of(*plan.schedule, plan.pipeline, plan.chunks, static_cast<int>(stage), 0).rank;
  };
  for (std::size_t s = 0; s + 1 < stages.size(); ++s) {
    stages[s].kept -= message;
    if (segments_.first_trainable() == 0 && owner(s) != owner(s + 1)) stages[s + 1].kept += message;
  }
}

// Of a rank's data stream.
std::int64_t PlanBounds::communicating(const RankOutline& rank, const ResolvedPlan& plan) {
  std::int64_t sum = 0;
  for (const CollectiveWork& work : rank.every_micro_batch)
    sum += prices_.collective(0, work).second;
  return sum * plan.micro_batches_of_copy();
}

PlanBound PlanBounds::of(const ResolvedPlan& plan) {
  forget_other_groups();
  const Bounds bounds(plan, stages_of(plan));
  PlanBound out;
  out.step_time = SimTime(std::numeric_limits<std::int64_t>::max());
  for (int r = 0; r < plan.pipeline; ++r) {
    // Ranks in the middle keep what the second does.
    const bool keeps = r <= 1 || r + 1 == plan.pipeline;
    const ScheduleOutline* outline =
        keeps || bounds.order_matters()
            ? &outlines_.of(*plan.schedule, {plan.pipeline, r, plan.micro_batches, plan.chunks})
            : nullptr;
    std::int64_t time = bounds.time(r, outline);
    if (keeps || plan.plan.zero_stage >= 2) {
      const RankOutline rank = rank_outline(program_, r, plan, model_, runtime_, segments_);
      time = std::max(time, communicating(rank, plan));
      if (keeps)
        out.memory = max(out.memory, Bytes(rank.resident.value + bounds.kept(r, *outline)));
    }
    out.step_time = std::min(out.step_time, SimTime(time));
  }
  return out;
}

}  // namespace rehearse
