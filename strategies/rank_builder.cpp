#include "strategies/rank_builder.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "strategies/data/data_parallel.hpp"
#include "strategies/offload.hpp"
#include "strategies/optimizer.hpp"
#include "strategies/rank_units.hpp"
#include "strategies/shared_gradients.hpp"
#include "strategies/written_passes.hpp"

namespace rehearse {
namespace {

// Slots of message buffers come after those of any graph.
constexpr std::int32_t kMessageSlot = 1 << 24;

class RankBuilder {
 public:
  RankBuilder(Program& program, RankProgram& rank, const SimulatedRank& simulated,
              const std::vector<PipelineStep>& pipeline, const ResolvedPlan& plan,
              const Model& model, const Runtime& runtime, const SharedSegments& shared)
      : program_(program),
        rank_(rank),
        replicas_(simulated.replicas),
        place_(simulated.place),
        pipeline_(pipeline),
        plan_(plan),
        model_(model),
        runtime_(runtime),
        shared_(shared),
        writer_(program, rank, runtime) {}

  std::vector<CollectiveWork> build_residents() {
    make_units();
    data_ = make_data_parallel(context());
    residents();
    return data_->every_micro_batch();
  }

  void build() {
    make_units();
    data_ = make_data_parallel(context());
    data_->begin_step(writer_);
    written_.emplace(writer_, *data_);
    if (runtime_.orders_messages) message_buffers(true);
    for (const PipelineStep& s : pipeline_) step(s);
    written_->catch_up();
    writer_.begin_pass(0);
    writer_.at(0, 0);
    if (plan_.pipeline > 1) finish_pipeline();
    data_->finish_backward(writer_);
    reduce_shared_gradients(writer_, plan_, model_, units_, place_.pipeline);
    rank_.setup.update = rank_.steps.calls().size();
    writer_.begin_pass(0);
    if (plan_.plan.offload.updates_on_host())
      host_.update(writer_);
    else
      optimizer_step(writer_, plan_, *data_, share_without_gradient(plan_, model_, units_));
    data_->after_optimizer(writer_);
    release_outputs();
    if (runtime_.orders_messages) message_buffers(false);
    residents();
    set_up();
  }

 private:
  DataContext context() {
    HostOptimizer* host = plan_.plan.offload.updates_on_host() ? &host_ : nullptr;
    return {plan_, runtime_, units_, replicas_, host};
  }

  struct Chunk : RankChunk {
    int inputs = 0, weights = 0;  // micro-batches that ran each part of backward so far
  };

  void make_units() {
    RankUnits own = rank_units(plan_, model_, shared_, place_.pipeline);
    units_ = std::move(own.units);
    for (RankChunk& c : own.chunks) chunks_.push_back({std::move(c)});
  }

  // Activations between two stages, of one micro-batch.
  Bytes message_bytes() const {
    const OpGraph& g = shared_.layer(0).graph();
    return g.tensor(g.input).bytes();
  }
  bool scatters() const {
    return runtime_.scatters_messages && plan_.tensor > 1 && !plan_.plan.sequence_parallel;
  }
  // What one rank sends of them.
  Bytes sent_bytes() const {
    return scatters() ? Bytes(message_bytes().value / plan_.tensor) : message_bytes();
  }
  // The host goes on when everything so far on the compute stream has happened.
  void synchronize() {
    if (plan_.plan.pipeline_messages == PipelineMessages::kBlocking)
      writer_.host_wait(writer_.record(StreamKind::kCompute));
  }
  // Of micro-batch 0; the others' follow.
  std::uint32_t tag(int boundary, bool forward) const {
    return static_cast<std::uint32_t>((boundary * 2 + (forward ? 0 : 1)) * plan_.micro_batches);
  }
  // The pipeline rank of a stage.
  int owner(int stage, int copy = 0) const {
    return place_of(*plan_.schedule, plan_.pipeline, plan_.chunks, stage, copy).rank;
  }
  bool remote(const Chunk& c, int stage) const {
    return stage >= 0 && stage < plan_.stages() && owner(stage, c.copy) != place_.pipeline;
  }
  // Whether anything up to the border of a stage and the next trains, so that a gradient crosses.
  bool gradient_crosses(int stage) const {
    const auto begin = plan_.stage_layers.begin();
    return shared_.first_trainable() <= std::accumulate(begin, begin + stage + 1, 0);
  }
  bool receives_forward(const Chunk& c) const { return remote(c, c.stage - 1); }
  bool sends_forward(const Chunk& c) const { return remote(c, c.stage + 1); }
  bool receives_backward(const Chunk& c) const {
    return sends_forward(c) && gradient_crosses(c.stage);
  }
  bool sends_backward(const Chunk& c) const {
    return receives_forward(c) && gradient_crosses(c.stage - 1);
  }
  int first_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.front()].position;
  }
  int last_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.back()].position;
  }

  using Kind = PipelineStep::Kind;
  void step(const PipelineStep& s) {
    if (s.kind != Kind::kExchange && s.kind != Kind::kAwait) return act(s.kind, s.action);
    writer_.begin_pass(0);
    if (s.kind == Kind::kAwait)
      return writer_.wait(StreamKind::kCompute, exchanges_[static_cast<std::size_t>(s.exchange)]);
    const auto& [sends_first, first] = s.messages.front();
    writer_.at(first.micro_batch, sends_first ? first.stage : first.receiver());
    std::vector<Exchange::Half> halves;
    for (const auto& [sends, m] : s.messages) {
      const int border = std::min(m.stage, m.receiver());
      if (!m.forward && !gradient_crosses(border)) continue;
      halves.push_back({sends, owner(sends ? m.receiver() : m.stage, m.copy),
                        tag(border, m.forward) + static_cast<std::uint32_t>(m.micro_batch),
                        message_bytes()});
    }
    if (!halves.empty()) writer_.exchange(std::move(halves));
    exchanges_.push_back(writer_.record(StreamKind::kMessages));
  }

  using PassKey = std::tuple<Kind, ActionKind, int>;  // of a chunk

  // Writes an action, as a pass for any micro-batch. An action that was written already is called
  // again, where nothing else decides what it writes.
  void act(Kind kind, const Action& a) {
    Chunk& c = chunks_[static_cast<std::size_t>(a.chunk)];
    const bool runs = kind == Kind::kRun || kind == Kind::kRunBetween;
    const Turn turn = runs ? next_turn(c, a.kind) : Turn{};
    const bool repeats = !turn.first && !turn.last;
    const PassKey key{kind, a.kind, a.chunk};
    if (repeats && written_->call(key, runs, a.micro_batch)) return;
    written_->catch_up();
    const std::uint32_t pass = writer_.begin_pass(a.micro_batch);
    writer_.at(0, c.stage);
    if (kind == Kind::kReceive || kind == Kind::kRunBetween) receive(c, a.kind);
    if (runs) run(c, a.kind, turn);
    if (kind == Kind::kSend || kind == Kind::kRunBetween) send(c, a.kind);
    written_->wrote(key, runs, pass, repeats);
  }

  // Whether an action is the first or the last of its chunk that runs its part of backward.
  struct Turn {
    bool first = false, last = false;
  };
  Turn next_turn(Chunk& c, ActionKind kind) const {
    if (kind == ActionKind::kForward) return {};
    const bool weights = kind != ActionKind::kBackwardInputs;
    const int done = weights ? c.weights : c.inputs;
    if (weights) ++c.weights;
    if (kind != ActionKind::kBackwardWeights) ++c.inputs;
    return {done == 0, done + 1 == plan_.micro_batches_of_copy()};
  }

  // Messages on streams of their own, one a direction.
  void receive(const Chunk& c, ActionKind kind) {
    if (kind == ActionKind::kForward && receives_forward(c))
      receive(owner(c.stage - 1, c.copy), tag(c.stage - 1, true), StreamKind::kSendNext);
    if (starts_backward(kind) && receives_backward(c))
      receive(owner(c.stage + 1, c.copy), tag(c.stage, false), StreamKind::kSendPrevious);
  }
  void send(const Chunk& c, ActionKind kind) {
    if (kind == ActionKind::kForward && sends_forward(c))
      send(owner(c.stage + 1, c.copy), tag(c.stage, true), StreamKind::kSendNext);
    if (starts_backward(kind) && sends_backward(c))
      send(owner(c.stage - 1, c.copy), tag(c.stage - 1, false), StreamKind::kSendPrevious);
  }
  static bool starts_backward(ActionKind kind) {
    return kind == ActionKind::kBackward || kind == ActionKind::kBackwardInputs;
  }
  int tensors(StreamKind direction) const {
    return direction == StreamKind::kSendNext ? runtime_.forward_tensors : 1;
  }
  void receive(int peer, std::uint32_t tag, StreamKind gathers) {
    writer_.receive(peer, tag, sent_bytes(), tensors(gathers));
    if (scatters()) {
      writer_.order(StreamKind::kCompute, gathers);
      writer_.collective(gathers, CollectiveOp::kAllGather, GroupKind::kTensor, message_bytes(),
                         "message");
      writer_.order(gathers, StreamKind::kCompute);
    }
    synchronize();
  }
  void send(int peer, std::uint32_t tag, StreamKind stream) {
    writer_.order(StreamKind::kCompute, stream);
    writer_.send(peer, tag, sent_bytes(), stream, tensors(stream));
    if (plan_.plan.pipeline_messages != PipelineMessages::kBlocking) return;
    writer_.order(stream, StreamKind::kCompute);
    synchronize();
  }

  void run(const Chunk& c, ActionKind kind, const Turn& turn) {
    // Autograd has no gradient to give for token ids: the first stage does it all later.
    const bool postpones = runtime_.splits_backward_by_autograd && c.stage == 0;
    switch (kind) {
      case ActionKind::kForward:
        return forward(c);
      case ActionKind::kBackward:
        take_gradient(c);
        return backward(c, BackwardPart::kAll, turn);
      case ActionKind::kBackwardInputs:
        take_gradient(c);
        if (!postpones) backward(c, BackwardPart::kInputs, turn);
        return;
      case ActionKind::kBackwardWeights:
        return backward(c, postpones ? BackwardPart::kAll : BackwardPart::kWeights, turn);
    }
  }

  // What a pipeline in order receives into: tensors that last, one a chunk, direction and
  // micro-batch. Each is in a place of its own while the message in it is not alive.
  void park(int position, bool forward) {
    writer_.allocate(MemoryScope::kFrame, position, kMessageSlot + (forward ? 0 : 1),
                     message_bytes(), MemoryCategory::kActivations);
  }
  void unpark(int position, bool forward) {
    writer_.release(MemoryScope::kFrame, position, kMessageSlot + (forward ? 0 : 1),
                    message_bytes(), MemoryCategory::kActivations);
  }
  void message_buffers(bool begin) {
    const int n = plan_.micro_batches_of_copy();
    for (const Chunk& c : chunks_) {
      const std::uint32_t pass = writer_.begin_pass(c.copy * n);
      writer_.at(0, c.stage);
      const auto change = [&](int position, bool forward) {
        begin ? park(position, forward) : unpark(position, forward);
      };
      if (receives_forward(c)) change(first_position(c), true);
      if (receives_backward(c)) change(last_position(c), false);
      for (int m = c.copy * n + 1; m < (c.copy + 1) * n; ++m) writer_.call_pass(pass, m);
    }
  }

  void stage_call() {
    if (plan_.pipeline > 1) writer_.host(runtime_.host_per_stage_call);
  }

  void forward(const Chunk& c) {
    stage_call();
    if (runtime_.waits_for_batch) {
      writer_.host(runtime_.host_per_batch);
      writer_.host_wait(writer_.record(StreamKind::kCompute), runtime_.host_per_batch_size);
    }
    if (receives_forward(c)) {
      if (runtime_.orders_messages) unpark(first_position(c), true);
      writer_.allocate(MemoryScope::kFrame, first_position(c) - 1, 0, message_bytes(),
                       MemoryCategory::kActivations);
    }
    for (std::size_t i : c.units) {
      data_->before_forward(writer_, units_[i]);
      data_->forward(writer_, units_[i]);
      if (plan_.plan.offload.activations) activations_.after_forward(writer_, units_[i]);
      data_->after_forward(writer_, units_[i]);
    }
    activations_.end_forward(writer_);
    for (std::size_t i : c.units)
      for (const SegmentMaker::Cast& cast : units_[i].segments->casts_left())
        writer_.release(MemoryScope::kFrame, units_[i].position, cast.slot, cast.bytes,
                        MemoryCategory::kActivations);
    if (sends_forward(c) && !keeps_output(c)) release_output(c);
  }
  // Autograd wants the output that the gradient is of, but not its values.
  bool keeps_output(const Chunk& c) const {
    return receives_backward(c) && !runtime_.frees_sent_outputs;
  }
  void release_output(const Chunk& c) {
    writer_.release(MemoryScope::kFrame, last_position(c), 0, message_bytes(),
                    MemoryCategory::kActivations);
  }

  // Of the output, from the next stage.
  void take_gradient(const Chunk& c) {
    if (!receives_backward(c)) return;
    if (runtime_.orders_messages) unpark(last_position(c), false);
    writer_.allocate(MemoryScope::kFrame, last_position(c) + 1, 1, message_bytes(),
                     MemoryCategory::kTemporary);
  }

  void backward(const Chunk& c, BackwardPart part, const Turn& turn) {
    const bool before = receives_forward(c), after = receives_backward(c);
    stage_call();
    for (auto i = c.units.rbegin(); i != c.units.rend(); ++i) {
      const Unit& u = units_[*i];
      if (part != BackwardPart::kWeights) data_->before_backward(writer_, u);
      const std::size_t below = *i - c.units.front();  // graphs before it in its chunk
      if (part == BackwardPart::kInputs) writer_.host(runtime_.host_per_split_inputs);
      if (part == BackwardPart::kWeights)
        writer_.host(runtime_.host_per_split_weights +
                     runtime_.host_per_split_weights_below * static_cast<double>(below));
      if (plan_.plan.offload.activations)
        activations_.before_backward(
            writer_, std::span(units_).subspan(c.units.front(), c.units.size()), below);
      data_->backward(writer_, u, part, turn.first, turn.last);
    }
    if (runtime_.orders_messages && part != BackwardPart::kInputs && before)
      park(first_position(c), true);
    if (part == BackwardPart::kWeights) return;
    if (after) {
      if (keeps_output(c)) release_output(c);
      if (runtime_.orders_messages) park(last_position(c), false);
    }
    if (sends_backward(c))
      writer_.release(MemoryScope::kFrame, first_position(c), 1, message_bytes(),
                      MemoryCategory::kTemporary);
  }

  // torch.distributed.pipelining divides gradients by the number of micro-batches, and its last
  // stage returns all logits joined.
  void finish_pipeline() {
    if (runtime_.scales_gradients) {
      for (const Unit& u : units_)
        for (const Parameter& p : u.parameters) {
          if (!p.trainable) continue;
          const Bytes b = u.segments->gradient_bytes(p.tensor);
          writer_.kernel(StreamKind::kCompute, Activity::kBackward,
                         "vectorized_elementwise_kernel (scale)", {"vectorized", b, b, p.elements});
        }
    }
    for_kept_logits([&](const Unit& head, Bytes one) {
      const Bytes all(one.value * plan_.micro_batches_of_copy());
      writer_.allocate(MemoryScope::kRank, head.position, -1, all, MemoryCategory::kTemporary);
      writer_.kernel(StreamKind::kCompute, Activity::kForward, "CatArrayBatchedCopy (outputs)",
                     {"cat", all, all, all.value / 2});
      writer_.at(0, 0);
      writer_.release(MemoryScope::kRank, head.position, -1);
    });
  }

  // A stage keeps its outputs until the next step begins.
  void release_outputs() {
    if (plan_.pipeline == 1) return;
    const int n = plan_.micro_batches_of_copy();
    for_kept_logits([&](const Unit& head, Bytes one) {
      const int copy = plan_.schedule->copy_of(head.chunk);
      for (int m = copy * n; m < (copy + 1) * n; ++m) {
        writer_.at(m, 0);
        writer_.release(MemoryScope::kFrame, head.position, head.segments->logits_slot(), one,
                        MemoryCategory::kActivations);
      }
    });
  }
  // `of`: a head, and the bytes of one micro-batch's logits.
  template <class Of>
  void for_kept_logits(const Of& of) {
    for (const Unit& u : units_)
      if (runtime_.keeps_logits && u.position == program_.positions - 1)
        of(u, u.segments->graph().tensor(u.segments->logits()).bytes());
  }

  void residents() {
    rank_.parameters = data_->parameter_bytes();
    rank_.persistent_gradients = data_->persistent_gradient_bytes();
    if (!plan_.plan.offload.updates_on_host())
      rank_.optimizer_states = optimizer_state_bytes(plan_, data_->updated_elements());
    // Token ids and targets of the step, and the workspaces of the matrix library.
    const Bytes ids(16 * plan_.training.sequence_length / plan_.context *
                    plan_.training.micro_batch_size * plan_.micro_batches);
    rank_.buffers = runtime_.workspace + ids;
  }

  void set_up() {
    Setup& s = rank_.setup;
    data_->set_up(s);
    if (s.before_first.empty()) {  // contiguous buffers
      s.allocate(rank_.parameters);
      s.allocate(rank_.persistent_gradients);
      s.states = {rank_.optimizer_states};
    }
    // Workspaces are made by the first step.
    s.allocate(rank_.buffers - runtime_.workspace);
  }

  Program& program_;
  RankProgram& rank_;
  const std::vector<int>& replicas_;
  const RankMap::Place& place_;
  const std::vector<PipelineStep>& pipeline_;
  const ResolvedPlan& plan_;
  const Model& model_;
  const Runtime& runtime_;
  const SharedSegments& shared_;
  StepWriter writer_;
  std::vector<Unit> units_;
  std::vector<Chunk> chunks_;
  std::optional<WrittenPasses<PassKey>> written_;
  std::vector<EventId> exchanges_;  // the end of each
  std::unique_ptr<DataParallel> data_;
  HostOptimizer host_{plan_};
  ActivationOffload activations_;
};

}  // namespace

void build_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                const std::vector<PipelineStep>& pipeline, const ResolvedPlan& plan,
                const Model& model, const Runtime& runtime, const SharedSegments& shared) {
  RankBuilder(program, rank, simulated, pipeline, plan, model, runtime, shared).build();
}

RankOutline rank_outline(Program& program, int pipeline_rank, const ResolvedPlan& plan,
                         const Model& model, const Runtime& runtime, const SharedSegments& shared) {
  RankProgram rank;
  SimulatedRank simulated;
  simulated.place.pipeline = pipeline_rank;
  simulated.replicas = {0};
  const std::vector<PipelineStep> no_steps;
  RankBuilder builder(program, rank, simulated, no_steps, plan, model, runtime, shared);
  RankOutline out;
  out.every_micro_batch = builder.build_residents();
  out.resident = rank.parameters + rank.persistent_gradients + rank.optimizer_states + rank.buffers;
  return out;
}

}  // namespace rehearse
