#include "strategies/rank_builder.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "strategies/optimizer.hpp"

namespace rehearse {
namespace {

std::vector<Parameter> parameters_of(const OpGraph& g, const std::string& without) {
  std::vector<Parameter> out;
  for (const Op& op : g.ops)
    for (TensorId p : op.parameters)
      if (g.tensor(p).name != without) out.push_back({p, g.tensor(p).elements()});
  return out;
}

class RankBuilder {
 public:
  RankBuilder(Program& program, RankProgram& rank, const SimulatedRank& simulated,
              const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
              const SharedSegments& shared)
      : program_(program),
        rank_(rank),
        replicas_(simulated.replicas),
        place_(simulated.place),
        plan_(plan),
        model_(model),
        runtime_(runtime),
        shared_(shared),
        writer_(program, rank, runtime) {}

  void build() {
    make_units();
    data_ = make_data_parallel({plan_, runtime_, units_, replicas_});
    data_->begin_step(writer_);
    for (const Action& a : plan_.schedule->actions(
             {plan_.pipeline, place_.pipeline, plan_.micro_batches, plan_.chunks}))
      act(a);
    writer_.begin_pass(0);
    writer_.at(0, 0);
    if (plan_.pipeline > 1) finish_pipeline();
    data_->finish_backward(writer_);
    reduce_shared_gradients();
    rank_.setup.update = rank_.steps.calls().size();
    writer_.begin_pass(0);
    optimizer_step(writer_, plan_, data_->updated_elements(), data_->updated_tensors());
    data_->after_optimizer(writer_);
    release_outputs();
    residents();
  }

 private:
  struct Chunk {
    int stage = 0;
    std::vector<std::size_t> units;  // indices, in model order
    int inputs = 0, weights = 0;     // micro-batches that ran each part of backward so far
  };

  void make_units() {
    const auto first_layer = [&](int stage) {
      int n = 0;
      for (int s = 0; s < stage; ++s) n += plan_.stage_layers[static_cast<std::size_t>(s)];
      return n;
    };
    const int last_stage = plan_.stages() - 1;
    const bool shared_head = model_.tied && plan_.stages() == 1;
    for (int c = 0; c < plan_.chunks; ++c) {
      Chunk chunk;
      chunk.stage = stage_of(*plan_.schedule, plan_.pipeline, place_.pipeline, c);
      const auto add = [&](int position, SegmentMaker& m, const std::string& without) {
        chunk.units.push_back(units_.size());
        units_.push_back({position, c, &m, parameters_of(m.graph(), without)});
      };
      if (chunk.stage == 0) add(0, shared_.embedding(), "");
      const int lo = first_layer(chunk.stage);
      for (int l = 0; l < plan_.stage_layers[static_cast<std::size_t>(chunk.stage)]; ++l)
        add(1 + lo + l, shared_.block(), "");
      if (chunk.stage == last_stage)
        add(program_.positions - 1, shared_.head(), shared_head ? "token_embedding.weight" : "");
      chunks_.push_back(std::move(chunk));
    }
  }

  // Activations between two stages, of one micro-batch.
  Bytes message_bytes() const {
    const OpGraph& g = shared_.block().graph();
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
  void receive(int stage, std::uint32_t tag, StreamKind gathers) {
    writer_.receive(owner(stage), tag, sent_bytes());
    if (scatters()) {
      writer_.order(StreamKind::kCompute, gathers);
      writer_.collective(gathers, CollectiveOp::kAllGather, GroupKind::kTensor, message_bytes(),
                         "message");
      writer_.order(gathers, StreamKind::kCompute);
    }
    synchronize();
  }
  void send(int stage, std::uint32_t tag, StreamKind stream) {
    writer_.order(StreamKind::kCompute, stream);
    writer_.send(owner(stage), tag, sent_bytes(), stream);
    if (plan_.plan.pipeline_messages != PipelineMessages::kBlocking) return;
    writer_.order(stream, StreamKind::kCompute);
    synchronize();
  }
  // Of micro-batch 0; the others' follow.
  std::uint32_t tag(int boundary, bool forward) const {
    return static_cast<std::uint32_t>((boundary * 2 + (forward ? 0 : 1)) * plan_.micro_batches);
  }
  // The pipeline rank of a stage.
  int owner(int stage) const {
    return place_of(*plan_.schedule, plan_.pipeline, plan_.chunks, stage).rank;
  }
  bool remote(int stage) const {
    return stage >= 0 && stage < plan_.stages() && owner(stage) != place_.pipeline;
  }
  int first_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.front()].position;
  }
  int last_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.back()].position;
  }

  // Writes an action, as a pass for any micro-batch. An action that was written already is called
  // again, where nothing else decides what it writes.
  void act(const Action& a) {
    Chunk& c = chunks_[static_cast<std::size_t>(a.chunk)];
    const Turn turn = next_turn(c, a.kind);
    const bool repeats = data_->repeats() && !turn.first && !turn.last;
    const std::pair key{a.kind, a.chunk};
    if (const auto known = written_.find(key); repeats && known != written_.end()) {
      writer_.call_pass(known->second, a.micro_batch);
      return;
    }
    const std::uint32_t pass = writer_.begin_pass(a.micro_batch);
    writer_.at(0, c.stage);
    switch (a.kind) {
      case ActionKind::kForward:
        forward(c);
        break;
      case ActionKind::kBackward:
        backward(c, BackwardPart::kAll, turn);
        break;
      case ActionKind::kBackwardInputs:
        backward(c, BackwardPart::kInputs, turn);
        break;
      case ActionKind::kBackwardWeights:
        backward(c, BackwardPart::kWeights, turn);
        break;
    }
    if (repeats) written_.emplace(key, pass);
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
    return {done == 0, done + 1 == plan_.micro_batches};
  }

  void forward(const Chunk& c) {
    const int before = c.stage - 1, after = c.stage + 1;
    if (remote(before)) {
      writer_.allocate(MemoryScope::kFrame, first_position(c) - 1, 0, message_bytes(),
                       MemoryCategory::kActivations);
      receive(before, tag(before, true), StreamKind::kSendNext);
    }
    for (std::size_t i : c.units) {
      data_->before_forward(writer_, units_[i]);
      writer_.segment(units_[i].segments->forward(), units_[i].position);
      data_->after_forward(writer_, units_[i]);
    }
    for (std::size_t i : c.units)
      for (const SegmentMaker::Cast& cast : units_[i].segments->casts_left())
        writer_.release(MemoryScope::kFrame, units_[i].position, cast.slot, cast.bytes,
                        MemoryCategory::kActivations);
    if (remote(after)) send(after, tag(c.stage, true), StreamKind::kSendNext);
  }

  void backward(const Chunk& c, BackwardPart part, const Turn& turn) {
    const int before = c.stage - 1, after = c.stage + 1;
    const bool inputs = part != BackwardPart::kWeights;
    if (inputs && remote(after)) {
      writer_.allocate(MemoryScope::kFrame, last_position(c) + 1, 1, message_bytes(),
                       MemoryCategory::kTemporary);
      receive(after, tag(c.stage, false), StreamKind::kSendPrevious);
    }
    for (auto i = c.units.rbegin(); i != c.units.rend(); ++i) {
      const Unit& u = units_[*i];
      if (inputs) data_->before_backward(writer_, u);
      data_->backward(writer_, u, part, turn.first, turn.last);
    }
    if (!inputs) return;
    if (remote(after))  // the output was kept to be sent
      writer_.release(MemoryScope::kFrame, last_position(c), 0, message_bytes(),
                      MemoryCategory::kActivations);
    if (remote(before)) {
      send(before, tag(before, false), StreamKind::kSendPrevious);
      writer_.release(MemoryScope::kFrame, first_position(c), 1, message_bytes(),
                      MemoryCategory::kTemporary);
    }
  }

  // torch.distributed.pipelining divides gradients by the number of micro-batches, and its last
  // stage returns all logits joined.
  void finish_pipeline() {
    if (runtime_.scales_gradients) {
      for (const Unit& u : units_)
        for (const Parameter& p : u.parameters) {
          const Bytes b = u.segments->gradient_bytes(p.tensor);
          writer_.kernel(StreamKind::kCompute, Activity::kBackward,
                         "vectorized_elementwise_kernel (scale)", {"vectorized", b, b, p.elements});
        }
    }
    if (!runtime_.keeps_logits) return;
    for (const Unit& u : units_) {
      const SegmentMaker& head = *u.segments;
      if (u.position != program_.positions - 1) continue;
      const Bytes one = head.graph().tensor(head.logits()).bytes();
      const Bytes all(one.value * plan_.micro_batches);
      writer_.allocate(MemoryScope::kRank, u.position, -1, all, MemoryCategory::kTemporary);
      writer_.kernel(StreamKind::kCompute, Activity::kForward, "CatArrayBatchedCopy (outputs)",
                     {"cat", all, all, all.value / 2});
      writer_.at(0, 0);
      writer_.release(MemoryScope::kRank, u.position, -1);
    }
  }

  // A stage keeps its outputs until the next step begins.
  void release_outputs() {
    if (plan_.pipeline == 1 || !runtime_.keeps_logits) return;
    for (const Unit& u : units_) {
      const SegmentMaker& head = *u.segments;
      if (u.position != program_.positions - 1) continue;
      const Bytes one = head.graph().tensor(head.logits()).bytes();
      for (int m = 0; m < plan_.micro_batches; ++m) {
        writer_.at(m, 0);
        writer_.release(MemoryScope::kFrame, u.position, head.logits_slot(), one,
                        MemoryCategory::kActivations);
      }
    }
  }

  // Gradients of parameters that ranks share for other reasons than data parallelism (Megatron's
  // finalize_model_grads): of norms and biases whose inputs are cut along the sequence, and of a
  // tied embedding that the first and the last stage hold.
  void reduce_shared_gradients() {
    if (!runtime_.reduces_shared_gradients) return;
    const std::int64_t element = size_of(plan_.training.precision.gradients).value;
    std::int64_t norms = 0, embedding = 0;
    for (const Unit& u : units_) {
      const OpGraph& g = u.segments->graph();
      for (const Parameter& p : u.parameters) {
        const Tensor& t = g.tensor(p.tensor);
        if (t.name == "token_embedding.weight") embedding += p.elements;
        // Nothing of it is cut over the tensor-parallel ranks: its gradient is of a part of the
        // tokens.
        if (t.dims.size() == 1 && t.dims[0].axis == Axis::kHidden) norms += p.elements;
      }
    }
    if (plan_.plan.sequence_parallel && plan_.tensor > 1)
      reduce(GroupKind::kTensor, Bytes(norms * element), "norm gradients");
    const int first = owner(0), last = owner(plan_.stages() - 1);
    const bool here = place_.pipeline == first || place_.pipeline == last;
    if (!model_.tied || first == last || !here) return;
    reduce(GroupKind::kEmbedding, Bytes(embedding * element), "embedding gradients");
  }

  void reduce(GroupKind group, Bytes bytes, const char* label) {
    writer_.order(StreamKind::kCompute, StreamKind::kData);
    writer_.collective(StreamKind::kData, CollectiveOp::kAllReduce, group, bytes, label);
    writer_.order(StreamKind::kData, StreamKind::kCompute);
  }

  void residents() {
    rank_.parameters = data_->parameter_bytes();
    rank_.persistent_gradients = data_->persistent_gradient_bytes();
    rank_.optimizer_states = optimizer_state_bytes(plan_, data_->updated_elements());
    // Token ids and targets of the step, and the workspaces of the matrix library.
    const Bytes ids(16 * plan_.training.sequence_length / plan_.context *
                    plan_.training.micro_batch_size * plan_.micro_batches);
    rank_.buffers = runtime_.workspace + ids;
    set_up();
  }

  void set_up() {
    Setup& s = rank_.setup;
    data_->set_up(s);
    if (s.before_first.empty()) {  // contiguous buffers
      s.allocate(rank_.parameters);
      s.allocate(rank_.persistent_gradients);
      s.states = {rank_.optimizer_states};
    }
    // A workspace for each thread of the host that issues products: forward's and backward's.
    const Bytes half(runtime_.workspace.value / 2);
    s.allocate(half);
    s.allocate(half);
    s.allocate(rank_.buffers - runtime_.workspace);
  }

  Program& program_;
  RankProgram& rank_;
  const std::vector<int>& replicas_;
  const RankMap::Place& place_;
  const ResolvedPlan& plan_;
  const Model& model_;
  const Runtime& runtime_;
  const SharedSegments& shared_;
  StepWriter writer_;
  std::vector<Unit> units_;
  std::vector<Chunk> chunks_;
  std::map<std::pair<ActionKind, int>, std::uint32_t> written_;  // passes that repeat
  std::unique_ptr<DataParallel> data_;
};

SegmentOptions segment_options(const ResolvedPlan& plan, const Model& model,
                               const Runtime& runtime) {
  const Precision& p = plan.training.precision;
  SegmentOptions o;
  o.autocast = p.autocast;
  o.recompute = plan.training.recompute;
  o.sequence_parallel = plan.plan.sequence_parallel && plan.tensor > 1;
  o.vocabulary_parallel = plan.plan.vocabulary_parallel && plan.tensor > 1;
  o.tensor_ranks = plan.tensor;
  o.context_ranks = plan.context;
  o.keep_logits = runtime.keeps_logits && plan.pipeline > 1;
  o.tied = model.tied && plan.stages() == 1;
  const bool sharded = plan.replicas() > 1 && plan.plan.zero_stage >= 2;
  o.gradient = sharded ? (p.sharded_fp32 ? p.compute : p.parameters) : p.gradients;
  return o;
}

}  // namespace

namespace {

// Where gradients are cut over the ranks nothing is accumulated in place and no buffer persists;
// products accumulate in place into fp32 alone.
Runtime suited(Runtime runtime, const ResolvedPlan& plan) {
  const bool cut = plan.replicas() > 1 && plan.plan.zero_stage >= 2;
  for (Runtime* r : {&runtime, runtime.blocks.empty() ? &runtime : &runtime.blocks.front()}) {
    if (cut) r->persistent_gradients = false;
    if (cut || plan.training.precision.gradients != DType::kFp32)
      r->fused_gradient_accumulation = false;
  }
  return runtime;
}

}  // namespace

SharedSegments::SharedSegments(Program& program, const ModelGraphs& graphs,
                               const ResolvedPlan& plan, const Runtime& runtime)
    : runtime_(suited(runtime, plan)) {
  const KernelContext edge{runtime_, plan.training.precision, plan.training.causal, program};
  const KernelContext inner{runtime_.in_blocks(), plan.training.precision, plan.training.causal,
                            program};
  const SegmentOptions options = segment_options(plan, graphs.model, runtime_);
  embedding_ = std::make_unique<SegmentMaker>(program, edge, graphs.embedding,
                                              GraphRole{true, false}, options);
  block_ = std::make_unique<SegmentMaker>(program, inner, graphs.block, GraphRole{}, options);
  head_ =
      std::make_unique<SegmentMaker>(program, edge, graphs.head, GraphRole{false, true}, options);
}

void build_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                const SharedSegments& shared) {
  RankBuilder(program, rank, simulated, plan, model, runtime, shared).build();
}

}  // namespace rehearse
