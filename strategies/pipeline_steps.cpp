#include "strategies/pipeline_steps.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>

namespace rehearse {
namespace {

using Kind = PipelineStep::Kind;
using Half = PipelineStep::Half;

bool is_forward(const Action& a) { return a.kind == ActionKind::kForward; }

// A schedule's actions and where their messages go.
class Pipeline {
 public:
  Pipeline(const Schedule& schedule, const PipelineShape& shape)
      : schedule_(schedule),
        shape_(shape),
        stages_(shape.ranks * shape.chunks / schedule.copies()) {
    for (int r = 0; r < shape.ranks; ++r)
      actions_.push_back(schedule.actions({shape.ranks, r, shape.micro_batches, shape.chunks}));
  }

  const std::vector<Action>& actions(int rank) const {
    return actions_[static_cast<std::size_t>(rank)];
  }
  // Actions from `at` on that are one piece of work.
  std::span<const Action> group(int rank, std::size_t at) const {
    const std::vector<Action>& all = actions(rank);
    std::size_t end = at;
    while (all[end].with_next) ++end;
    return {all.data() + at, all.data() + end + 1};
  }
  int owner(int copy, int stage) const {
    return place_of(schedule_, shape_.ranks, shape_.chunks, stage, copy).rank;
  }
  // What an action needs of the stage before it in its direction; none at the pipeline's ends.
  std::optional<StageMessage> input(int rank, const Action& a) const {
    if (a.kind == ActionKind::kBackwardWeights) return {};
    const int stage = stage_of(schedule_, shape_.ranks, rank, a.chunk);
    const int before = is_forward(a) ? stage - 1 : stage + 1;
    if (before < 0 || before >= stages_) return {};
    return StageMessage{is_forward(a), schedule_.copy_of(a.chunk), before, a.micro_batch};
  }
  std::optional<StageMessage> output(int rank, const Action& a) const {
    if (a.kind == ActionKind::kBackwardWeights) return {};
    const int stage = stage_of(schedule_, shape_.ranks, rank, a.chunk);
    const StageMessage m{is_forward(a), schedule_.copy_of(a.chunk), stage, a.micro_batch};
    if (m.receiver() < 0 || m.receiver() >= stages_) return {};
    return m;
  }
  bool crosses(const StageMessage& m) const {
    return owner(m.copy, m.stage) != owner(m.copy, m.receiver());
  }
  std::vector<Half> receives(int rank, std::span<const Action> group) const {
    std::vector<Half> out;
    for (const Action& a : group)
      if (const auto m = input(rank, a); m && crosses(*m)) out.push_back({false, *m});
    return out;
  }
  std::vector<Half> sends(int rank, std::span<const Action> group) const {
    std::vector<Half> out;
    for (const Action& a : group)
      if (const auto m = output(rank, a); m && crosses(*m)) out.push_back({true, *m});
    return out;
  }

 private:
  const Schedule& schedule_;
  PipelineShape shape_;
  int stages_;
  std::vector<std::vector<Action>> actions_;
};

// One rank's list.
class List {
 public:
  void run(std::span<const Action> group) { each(Kind::kRun, group); }
  void each(Kind kind, std::span<const Action> group) {
    for (const Action& a : group) steps_.push_back({kind, a, {}, 0});
  }
  // The number of the exchange; none of no messages.
  std::optional<int> exchange(std::vector<Half> halves) {
    if (halves.empty()) return {};
    steps_.push_back({Kind::kExchange, {}, std::move(halves), exchanges_});
    return exchanges_++;
  }
  void await(std::optional<int> exchange) {
    if (exchange) steps_.push_back({Kind::kAwait, {}, {}, *exchange});
  }
  std::vector<PipelineStep> take() { return std::move(steps_); }

 private:
  std::vector<PipelineStep> steps_;
  int exchanges_ = 0;
};

std::vector<PipelineStep> own_streams(const Pipeline& p, int rank) {
  List list;
  for (std::size_t i = 0; i < p.actions(rank).size();) {
    const auto group = p.group(rank, i);
    if (group.size() == 1) {
      list.each(Kind::kRunBetween, group);
    } else {
      list.each(Kind::kReceive, group);
      list.run(group);
      list.each(Kind::kSend, group);
    }
    i += group.size();
  }
  return list.take();
}

// ScheduleGPipe: sends are waited for after the last forward and after the last backward.
std::vector<PipelineStep> each_alone(const Pipeline& p, int rank) {
  List list;
  std::vector<std::optional<int>> sent;
  const auto await_sends = [&] {
    for (const auto& s : sent) list.await(s);
    sent.clear();
  };
  bool forward = true;
  for (const Action& a : p.actions(rank)) {
    if (forward && !is_forward(a)) await_sends();
    forward = is_forward(a);
    list.await(list.exchange(p.receives(rank, {&a, 1})));
    list.run({&a, 1});
    sent.push_back(list.exchange(p.sends(rank, {&a, 1})));
  }
  await_sends();
  return list.take();
}

// Schedule1F1B: between a forward and a backward the one's send goes with the other's receive; a
// send between two of a kind goes by itself and is waited for after the next.
std::vector<PipelineStep> fused(const Pipeline& p, int rank) {
  List list;
  const std::vector<Action>& actions = p.actions(rank);
  std::vector<Half> held;
  std::optional<int> alone;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const Action& a = actions[i];
    for (const Half& h : p.receives(rank, {&a, 1})) held.push_back(h);
    list.await(list.exchange(std::move(held)));
    held.clear();
    list.run({&a, 1});
    list.await(alone);
    alone.reset();
    const bool turns = i + 1 < actions.size() && is_forward(actions[i + 1]) != is_forward(a);
    if (turns)
      held = p.sends(rank, {&a, 1});
    else
      alone = list.exchange(p.sends(rank, {&a, 1}));
  }
  list.await(alone);
  return list.take();
}

// _PipelineScheduleRuntime with _add_send_recv: ranks take turns, and what a rank sends is put into
// the receiver's list at once; a rank goes on when what it needs is in its list.
class Posted {
 public:
  Posted(const Pipeline& p, int ranks)
      : p_(p),
        lists_(static_cast<std::size_t>(ranks)),
        received_(lists_.size()),
        made_(lists_.size()),
        sent_(lists_.size()),
        next_(lists_.size(), 0) {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < lists_.size(); ++r) moved |= advance(r);
    }
  }

  std::vector<std::vector<PipelineStep>> take() {
    std::vector<std::vector<PipelineStep>> out;
    for (std::size_t r = 0; r < lists_.size(); ++r) {
      if (next_[r] < p_.actions(static_cast<int>(r)).size())
        throw std::logic_error("a schedule whose ranks wait for each other for ever");
      for (int exchange : sent_[r]) lists_[r].await(exchange);
      out.push_back(lists_[r].take());
    }
    return out;
  }

 private:
  bool ready(std::size_t r, const Action& a) const {
    const auto m = p_.input(static_cast<int>(r), a);
    return !m || received_[r].contains(*m) || made_[r].contains(*m);
  }
  bool advance(std::size_t r) {
    const int rank = static_cast<int>(r);
    if (next_[r] == p_.actions(rank).size()) return false;
    const auto group = p_.group(rank, next_[r]);
    for (const Action& a : group)
      if (!ready(r, a)) return false;
    for (const Half& h : p_.receives(rank, group)) lists_[r].await(received_[r].at(h.message));
    lists_[r].run(group);
    for (const Action& a : group)
      if (const auto m = p_.output(rank, a)) made_[r].insert(*m);
    for (const Half& h : p_.sends(rank, group)) {
      const auto to = static_cast<std::size_t>(p_.owner(h.message.copy, h.message.receiver()));
      sent_[r].push_back(*lists_[r].exchange({h}));
      received_[to][h.message] = *lists_[to].exchange({{false, h.message}});
    }
    next_[r] += group.size();
    return true;
  }

  const Pipeline& p_;
  std::vector<List> lists_;
  std::vector<std::map<StageMessage, int>> received_;  // and by which exchange
  std::vector<std::set<StageMessage>> made_;
  std::vector<std::vector<int>> sent_;
  std::vector<std::size_t> next_;
};

}  // namespace

std::vector<std::vector<PipelineStep>> pipeline_steps(const Schedule& schedule,
                                                      const PipelineShape& shape, bool in_order) {
  const Pipeline pipeline(schedule, shape);
  if (in_order && schedule.exchanges == Exchanges::kPosted)
    return Posted(pipeline, shape.ranks).take();
  std::vector<std::vector<PipelineStep>> out;
  for (int r = 0; r < shape.ranks; ++r)
    out.push_back(!in_order                                 ? own_streams(pipeline, r)
                  : schedule.exchanges == Exchanges::kFused ? fused(pipeline, r)
                                                            : each_alone(pipeline, r));
  return out;
}

}  // namespace rehearse
