#include "strategies/rank_builder.hpp"

#include <algorithm>

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
  RankBuilder(Program& program, RankProgram& rank, const RankMap::Place& place,
              const std::vector<int>& at_stage, const ResolvedPlan& plan, const Model& model,
              const Runtime& runtime, const SharedSegments& shared, bool folded)
      : program_(program),
        rank_(rank),
        place_(place),
        at_stage_(at_stage),
        plan_(plan),
        model_(model),
        runtime_(runtime),
        shared_(shared),
        folded_(folded),
        writer_(program, rank, runtime) {}

  void build() {
    make_units();
    data_ = make_data_parallel({plan_, runtime_, units_, folded_ ? kFullestRank : place_.data});
    data_->begin_step(writer_);
    for (const Action& a : plan_.schedule->actions(
             {plan_.pipeline, place_.pipeline, plan_.micro_batches, plan_.chunks}))
      act(a);
    writer_.at(0, 0);
    if (plan_.pipeline > 1) finish_pipeline();
    data_->finish_backward(writer_);
    optimizer_step(writer_, plan_, data_->updated_elements(), data_->updated_tensors());
    data_->after_optimizer(writer_);
    residents();
  }

 private:
  struct Chunk {
    int stage = 0;
    std::vector<std::size_t> units;  // indices, in model order
    int backwards = 0;               // micro-batches that ran backward so far
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
      const auto add = [&](int position, SegmentMaker& m, const std::string& without, bool shares) {
        chunk.units.push_back(units_.size());
        units_.push_back({position, c, &m, parameters_of(m.graph(), without), shares});
      };
      if (chunk.stage == 0) add(0, shared_.embedding(), "", shared_head);
      const int lo = first_layer(chunk.stage);
      for (int l = 0; l < plan_.stage_layers[static_cast<std::size_t>(chunk.stage)]; ++l)
        add(1 + lo + l, shared_.block(), "", false);
      if (chunk.stage == last_stage)
        add(program_.positions - 1, shared_.head(),
            shared_head ? "token_embedding.weight" : "", false);
      chunks_.push_back(std::move(chunk));
    }
  }

  // Activations between two stages, of one micro-batch.
  Bytes message_bytes() const {
    const OpGraph& g = shared_.block().graph();
    return g.tensor(g.input).bytes();
  }
  std::uint32_t tag(int boundary, bool forward, int micro_batch) const {
    return static_cast<std::uint32_t>((boundary * 2 + (forward ? 0 : 1)) * plan_.micro_batches +
                                      micro_batch);
  }
  // The pipeline rank of a stage.
  int owner(int stage) const {
    return place_of(*plan_.schedule, plan_.pipeline, plan_.chunks, stage).rank;
  }
  int peer(int stage) const { return at_stage_[static_cast<std::size_t>(owner(stage))]; }
  bool remote(int stage) const {
    return stage >= 0 && stage < plan_.stages() && owner(stage) != place_.pipeline;
  }
  int first_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.front()].position;
  }
  int last_position(const Chunk& c) const {
    return c.units.empty() ? 0 : units_[c.units.back()].position;
  }

  void act(const Action& a) {
    writer_.at(a.micro_batch, chunks_[static_cast<std::size_t>(a.chunk)].stage);
    switch (a.kind) {
      case ActionKind::kForward:
        return forward(chunks_[static_cast<std::size_t>(a.chunk)], a.micro_batch);
      case ActionKind::kBackward:
        return backward(chunks_[static_cast<std::size_t>(a.chunk)], a.micro_batch, BackwardPart::kAll);
      case ActionKind::kBackwardInputs:
        return backward(chunks_[static_cast<std::size_t>(a.chunk)], a.micro_batch,
                        BackwardPart::kInputs);
      case ActionKind::kBackwardWeights:
        return backward(chunks_[static_cast<std::size_t>(a.chunk)], a.micro_batch,
                        BackwardPart::kWeights);
    }
  }

  void forward(Chunk& c, int micro_batch) {
    const int before = c.stage - 1, after = c.stage + 1;
    if (remote(before)) {
      writer_.allocate(MemoryScope::kFrame, first_position(c) - 1, 0, message_bytes(),
                       MemoryCategory::kActivations);
      writer_.receive(peer(before), tag(before, true, micro_batch), message_bytes());
    }
    for (std::size_t i : c.units) {
      data_->before_forward(writer_, units_[i]);
      writer_.segment(units_[i].segments->forward(), units_[i].position);
      data_->after_forward(writer_, units_[i]);
    }
    if (remote(after)) {
      writer_.order(StreamKind::kCompute, StreamKind::kSendNext);
      writer_.send(peer(after), tag(c.stage, true, micro_batch), message_bytes(),
                   StreamKind::kSendNext);
    }
  }

  void backward(Chunk& c, int micro_batch, BackwardPart part) {
    const int before = c.stage - 1, after = c.stage + 1;
    const bool inputs = part != BackwardPart::kWeights;
    // The first and last micro-batch whose parameter gradients this chunk computes.
    const bool weights = part != BackwardPart::kInputs;
    const bool first = weights && c.backwards == 0;
    const bool last = weights && c.backwards + 1 == plan_.micro_batches;
    if (weights) ++c.backwards;
    if (inputs && remote(after)) {
      writer_.allocate(MemoryScope::kFrame, last_position(c) + 1, 1, message_bytes(),
                       MemoryCategory::kTemporary);
      writer_.receive(peer(after), tag(c.stage, false, micro_batch), message_bytes());
    }
    for (auto i = c.units.rbegin(); i != c.units.rend(); ++i) {
      const Unit& u = units_[*i];
      if (inputs) data_->before_backward(writer_, u);
      data_->backward(writer_, u, part, first, last);
    }
    if (!inputs) return;
    if (remote(after))  // the output was kept to be sent
      writer_.release(MemoryScope::kFrame, last_position(c), 0, message_bytes(),
                      MemoryCategory::kActivations);
    if (remote(before)) {
      writer_.order(StreamKind::kCompute, StreamKind::kSendPrevious);
      writer_.send(peer(before), tag(before, false, micro_batch), message_bytes(),
                   StreamKind::kSendPrevious);
      writer_.release(MemoryScope::kFrame, first_position(c), 1, message_bytes(),
                      MemoryCategory::kTemporary);
    }
  }

  // torch.distributed.pipelining divides gradients by the number of micro-batches, and its last stage
  // returns all logits joined.
  void finish_pipeline() {
    if (runtime_.scales_gradients) {
      for (const Unit& u : units_)
        for (const Parameter& p : u.parameters) {
          const Bytes b = u.segments->gradient_bytes(p.tensor);
          writer_.kernel(StreamKind::kCompute, Activity::kBackward, "vectorized_elementwise_kernel (scale)",
                         {"vectorized", b, b, p.elements});
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
      for (int m = 0; m < plan_.micro_batches; ++m) {
        writer_.at(m, 0);
        writer_.release(MemoryScope::kFrame, u.position, head.logits_slot(), one,
                        MemoryCategory::kActivations);
      }
      writer_.at(0, 0);
      writer_.release(MemoryScope::kRank, u.position, -1);
    }
  }

  void residents() {
    rank_.parameters = data_->parameter_bytes();
    rank_.persistent_gradients = data_->persistent_gradient_bytes();
    rank_.optimizer_states = optimizer_state_bytes(plan_, data_->updated_elements());
    // Token ids and targets of the step, and the workspaces of the matrix library.
    const Bytes ids(16 * plan_.training.sequence_length * plan_.training.micro_batch_size *
                    plan_.micro_batches);
    rank_.buffers = runtime_.workspace + ids;
  }

  Program& program_;
  RankProgram& rank_;
  const RankMap::Place& place_;
  const std::vector<int>& at_stage_;
  const ResolvedPlan& plan_;
  const Model& model_;
  const Runtime& runtime_;
  const SharedSegments& shared_;
  bool folded_;
  StepWriter writer_;
  std::vector<Unit> units_;
  std::vector<Chunk> chunks_;
  std::unique_ptr<DataParallel> data_;
};

SegmentOptions segment_options(const ResolvedPlan& plan, const Runtime& runtime) {
  const Precision& p = plan.training.precision;
  SegmentOptions o;
  o.autocast = p.autocast;
  o.recompute = plan.training.recompute;
  o.sequence_parallel = plan.plan.sequence_parallel && plan.tensor > 1;
  o.vocabulary_parallel = plan.plan.vocabulary_parallel && plan.tensor > 1;
  o.tensor_ranks = plan.tensor;
  o.keep_logits = runtime.keeps_logits && plan.pipeline > 1;
  const bool sharded = plan.data > 1 && plan.plan.zero_stage >= 2;
  o.gradient = sharded ? (p.sharded_fp32 ? p.compute : p.parameters) : p.gradients;
  return o;
}

}  // namespace

SharedSegments::SharedSegments(Program& program, const ModelGraphs& graphs,
                               const ResolvedPlan& plan, const Runtime& runtime) {
  const KernelContext context{runtime, plan.training.precision, plan.training.causal, program};
  const SegmentOptions options = segment_options(plan, runtime);
  embedding_ = std::make_unique<SegmentMaker>(program, context, graphs.embedding,
                                              GraphRole{true, false}, options);
  block_ = std::make_unique<SegmentMaker>(program, context, graphs.block, GraphRole{}, options);
  head_ = std::make_unique<SegmentMaker>(program, context, graphs.head, GraphRole{false, true},
                                         options);
}

void build_rank(Program& program, RankProgram& rank, const RankMap::Place& place,
                const std::vector<int>& at_stage, const ResolvedPlan& plan, const Model& model,
                const Runtime& runtime, const SharedSegments& shared, bool folded) {
  RankBuilder(program, rank, place, at_stage, plan, model, runtime, shared, folded).build();
}

}  // namespace rehearse
