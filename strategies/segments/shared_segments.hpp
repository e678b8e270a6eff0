#pragma once

#include <memory>
#include <vector>

#include "strategies/plan.hpp"
#include "strategies/segments/segments.hpp"

namespace rehearse {

// Segments of the graphs, shared by all ranks and layers.
class SharedSegments {
 public:
  SharedSegments(Program& program, const ModelGraphs& graphs, const ResolvedPlan& plan,
                 const Runtime& runtime, const Multiprocessors& gpu);
  SharedSegments(const SharedSegments&) = delete;
  SharedSegments& operator=(const SharedSegments&) = delete;
  SegmentMaker& embedding() const { return *embedding_; }
  SegmentMaker& layer(int l) const { return *layers_[static_cast<std::size_t>(l)]; }
  SegmentMaker& head() const { return *head_; }
  // Backward ends at the graph of this position (see first_trainable of ModelGraphs).
  std::int64_t first_trainable() const { return first_trainable_; }

 private:
  Runtime runtime_;  // as the plan lets it be
  std::unique_ptr<SegmentMaker> embedding_, head_;
  std::vector<std::unique_ptr<SegmentMaker>> makers_;  // of layers, one for all that are alike
  std::vector<SegmentMaker*> layers_;
  std::int64_t first_trainable_ = 0;
};

}  // namespace rehearse
