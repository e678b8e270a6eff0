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
                 const Runtime& runtime);
  SharedSegments(const SharedSegments&) = delete;
  SharedSegments& operator=(const SharedSegments&) = delete;
  SegmentMaker& embedding() const { return *embedding_; }
  SegmentMaker& block() const { return *block_; }
  SegmentMaker& layer(int l) const;
  SegmentMaker& head() const { return *head_; }

 private:
  Runtime runtime_;  // as the plan lets it be
  std::unique_ptr<SegmentMaker> embedding_, block_, head_;
  std::vector<std::unique_ptr<SegmentMaker>> variants_;  // of ModelGraphs
  std::vector<int> layer_variants_;
};

}  // namespace rehearse
