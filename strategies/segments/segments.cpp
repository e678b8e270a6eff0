#include "strategies/segments/segments.hpp"

#include <set>

#include "strategies/segments/builder.hpp"

namespace rehearse {
namespace {

std::string store_name(GradientStore store) {
  switch (store) {
    case GradientStore::kFresh:
      return "fresh";
    case GradientStore::kAccumulate:
      return "accumulate";
    case GradientStore::kCopyOut:
      return "bucket";
    case GradientStore::kAccumulateCopyOut:
      return "accumulate, bucket";
  }
  return "";
}

}  // namespace

SegmentMaker::SegmentMaker(Program& program, const KernelContext& context, const OpGraph& graph,
                           GraphRole role, const SegmentOptions& options)
    : program_(program),
      context_(context),
      graph_(with_fused_tensors(graph, context.runtime)),
      backward_(
          without_gathered(derive_backward(graph_, role.input_gradient), graph_, context.runtime)),
      role_(role),
      options_(options) {}

Bytes SegmentMaker::gradient_bytes(TensorId p) const {
  return Bytes(graph_.tensor(p).elements() * size_of(options_.gradient).value);
}

bool SegmentMaker::tied(TensorId p) const {
  return options_.tied && graph_.tensor(p).name == "token_embedding.weight";
}

std::vector<SegmentMaker::Cast> SegmentMaker::casts_left() const {
  std::vector<Cast> out;
  if (!options_.autocast || !recomputes()) return out;
  for (const Op& op : graph_.ops)
    if (is_product(op.kind) && trains(graph_, op))
      for (TensorId p : op.parameters)
        out.push_back({static_cast<std::int32_t>(2 + graph_.tensors.size()) + p,
                       Bytes(graph_.tensor(p).bytes().value / 2)});
  return out;
}

std::vector<MemoryChange> SegmentMaker::kept() {
  return SegmentBuilder(program_, context_, graph_, backward_, role_, options_).kept();
}

TensorId SegmentMaker::logits() const {
  for (const Op& op : graph_.ops)
    if (op.name == "head") return op.outputs[0];
  return kNoTensor;
}

SegmentId SegmentMaker::remembered(const std::string& name) {
  for (const auto& [n, id] : made_)
    if (n == name) return id;
  return static_cast<SegmentId>(-1);
}

SegmentId SegmentMaker::remember(const std::string& name, Segment segment) {
  program_.segments.push_back(std::move(segment));
  made_.emplace_back(name, static_cast<SegmentId>(program_.segments.size() - 1));
  return made_.back().second;
}

SegmentId SegmentMaker::forward() {
  const std::string name = graph_.name + " forward";
  if (const SegmentId id = remembered(name); id != static_cast<SegmentId>(-1)) return id;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  std::set<TensorId> keep = b.kept_roots();
  if (options_.keep_logits && role_.last) keep.insert(logits());
  b.forward(keep, graph_.ops.size(), Activity::kForward);
  return remember(name, std::move(b.take(name)[0].segment));
}

const std::vector<SegmentId>& SegmentMaker::forward_pieces() {
  if (!forward_pieces_.empty()) return forward_pieces_;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  std::set<TensorId> keep = b.kept_roots();
  if (options_.keep_logits && role_.last) keep.insert(logits());
  b.forward(keep, graph_.ops.size(), Activity::kForward, {}, true);
  for (auto& piece : b.take(graph_.name + " forward"))
    forward_pieces_.push_back(
        remember(graph_.name + " forward piece " + std::to_string(forward_pieces_.size()),
                 std::move(piece.segment)));
  return forward_pieces_;
}

SegmentId SegmentMaker::inference() {
  const std::string name = graph_.name + " inference";
  if (const SegmentId id = remembered(name); id != static_cast<SegmentId>(-1)) return id;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  b.forward({}, graph_.ops.size(), Activity::kForward, context_.runtime.held_tensors);
  return remember(name, std::move(b.take(name)[0].segment));
}

const std::vector<BackwardPiece>& SegmentMaker::backward_pieces(GradientStore store) {
  std::vector<BackwardPiece>& out = pieces_[store];
  if (!out.empty()) return out;
  std::string name = graph_.name + " backward " + store_name(store) + " pieces";
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  if (recomputes()) b.forward(b.saved_roots(), b.recompute_end(), Activity::kRecompute);
  b.backward(store, SegmentBuilder::Part::kAll, true);
  std::size_t i = 0;
  for (auto& piece : b.take(graph_.name + " backward")) {
    const std::string key = name + " " + std::to_string(i++);
    SegmentId id = remembered(key);
    if (id == static_cast<SegmentId>(-1)) id = remember(key, std::move(piece.segment));
    out.push_back({id, std::move(piece.ready)});
  }
  return out;
}

SegmentId SegmentMaker::backward(GradientStore store) {
  const std::string name = graph_.name + " backward " + store_name(store);
  if (const SegmentId id = remembered(name); id != static_cast<SegmentId>(-1)) return id;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  if (recomputes()) b.forward(b.saved_roots(), b.recompute_end(), Activity::kRecompute);
  b.backward(store, SegmentBuilder::Part::kAll, false);
  return remember(name, std::move(b.take(graph_.name + " backward")[0].segment));
}

SegmentId SegmentMaker::backward_inputs(GradientStore store) {
  const std::string name = graph_.name + " backward inputs " + store_name(store);
  if (const SegmentId id = remembered(name); id != static_cast<SegmentId>(-1)) return id;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  if (recomputes()) b.forward(b.saved_roots(), b.recompute_end(), Activity::kRecompute);
  b.backward(store, SegmentBuilder::Part::kInputs, false);
  return remember(name, std::move(b.take(name)[0].segment));
}

SegmentId SegmentMaker::backward_weights(GradientStore store) {
  const std::string name = graph_.name + " backward weights " + store_name(store);
  if (const SegmentId id = remembered(name); id != static_cast<SegmentId>(-1)) return id;
  SegmentBuilder b(program_, context_, graph_, backward_, role_, options_);
  b.backward(store, SegmentBuilder::Part::kWeights, false);
  return remember(name, std::move(b.take(name)[0].segment));
}

}  // namespace rehearse
