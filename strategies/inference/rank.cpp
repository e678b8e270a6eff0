#include "strategies/inference/inference.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {
namespace {

class InferenceBuilder {
 public:
  InferenceBuilder(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                   const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                   const SharedSegments& shared)
      : program_(program),
        rank_(rank),
        stage_(simulated.place.pipeline),
        plan_(plan),
        model_(model),
        runtime_(runtime),
        shared_(shared),
        writer_(program, rank, runtime) {}

  void build() {
    int layer = 0;
    for (int s = 0; s < stage_; ++s) layer += layers(s);
    writer_.begin_pass(0);
    writer_.at(0, stage_);
    if (!first()) receive_activations(layer);
    if (first()) run(shared_.embedding(), 0);
    for (int l = 0; l < layers(stage_); ++l) run(shared_.layer(layer + l), 1 + layer + l);
    if (last()) run(shared_.head(), program_.positions - 1);
    finish(layer + layers(stage_));
    residents();
  }

 private:
  bool first() const { return stage_ == 0; }
  bool last() const { return stage_ == plan_.pipeline - 1; }
  int layers(int stage) const { return plan_.stage_layers[static_cast<std::size_t>(stage)]; }

  void run(SegmentMaker& graph, int position) {
    writer_.segment(graph.inference(), position);
    for (const Op& op : graph.graph().ops)
      for (TensorId p : op.parameters) {
        const Tensor& t = graph.graph().tensor(p);
        const bool shared = model_.tied && plan_.pipeline == 1 && position > 0 &&
                            t.name == "token_embedding.weight";
        if (!shared) parameters_.push_back(runtime_.allocated(t.bytes()));
      }
  }

  Bytes activation_bytes() const {
    const OpGraph& g = shared_.layer(0).graph();
    return g.tensor(g.input).bytes();
  }
  Bytes token_bytes() const {
    const OpGraph& g = shared_.head().graph();
    return g.tensor(g.output).bytes();
  }

  void receive_activations(int layer) {
    writer_.allocate(MemoryScope::kFrame, layer, 0, activation_bytes(),
                     MemoryCategory::kActivations);
    writer_.receive(stage_ - 1, static_cast<std::uint32_t>(stage_), activation_bytes());
  }

  // What leaves the stage is given away: activations to the next one, tokens to the first, whose
  // next step begins with them.
  void finish(int position) {
    if (!last()) {
      send(stage_ + 1, static_cast<std::uint32_t>(stage_ + 1), activation_bytes());
      writer_.release(MemoryScope::kFrame, position, 0, activation_bytes(),
                      MemoryCategory::kActivations);
    } else {
      if (!first()) send(0, 0, token_bytes());
      writer_.release(MemoryScope::kFrame, program_.positions - 1, 0, token_bytes(),
                      MemoryCategory::kActivations);
    }
    if (first() && !last()) writer_.receive(plan_.pipeline - 1, 0, token_bytes());
  }

  void send(int to, std::uint32_t tag, Bytes bytes) {
    writer_.order(StreamKind::kCompute, StreamKind::kSendNext);
    writer_.send(to, tag, bytes, StreamKind::kSendNext);
  }

  void residents() {
    Setup& setup = rank_.setup;
    for (Bytes b : parameters_) {
      rank_.parameters += b;
      setup.allocate(b);
    }
    const Bytes last = parameters_.empty() ? Bytes(0) : parameters_.back();
    rank_.making = rank_.parameters + last;
    const Inference& i = plan_.inference;
    const Bytes element = size_of(plan_.training.precision.compute);
    const std::int64_t tokens = i.cache_length();
    for (int l = 0; l < layers(stage_); ++l)
      for (const std::int64_t columns : cache_columns(model_, plan_.tensor)) {
        const Bytes kept = runtime_.allocated(Bytes(i.batch * tokens * columns * element.value));
        setup.allocate(kept);
        rank_.cache += kept;
      }
    const std::int64_t rotated = model_.latent.rank > 0 ? model_.latent.rotary : model_.head_size;
    const Bytes rotary(2 * tokens * rotated * element.value);
    const Bytes ids(8 * i.batch * (i.prompt_length + 1));
    rank_.buffers = runtime_.workspace + ids;
    if (model_.position == PositionKind::kRotary) rank_.buffers += rotary;
    setup.allocate(rank_.buffers);
    setup.update = rank_.steps.calls().size();
  }

  Program& program_;
  RankProgram& rank_;
  int stage_;
  const ResolvedPlan& plan_;
  const Model& model_;
  const Runtime& runtime_;
  const SharedSegments& shared_;
  StepWriter writer_;
  std::vector<Bytes> parameters_;
};

}  // namespace

void build_inference_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                          const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                          const SharedSegments& shared) {
  InferenceBuilder(program, rank, simulated, plan, model, runtime, shared).build();
}

}  // namespace rehearse
