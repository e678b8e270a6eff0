#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/model.hpp"
#include "sim/config/scenario.hpp"
#include "sim/report/economics.hpp"

namespace rehearse {

// One way to spread a scenario out: what a search varies.
struct Choice {
  std::int32_t size = 0;  // of SearchSpace::sizes
  std::int32_t tensor = 1, context = 1, pipeline = 1, chunks = 1;
  std::int32_t micro_batch = 1;
  std::int16_t zero = 0;
  std::int16_t schedule = 0;  // of schedules()
  Recompute recompute = Recompute::kNone;
  bool sequence_parallel = false;

  bool operator==(const Choice&) const = default;
};

// A number of GPUs that may be used.
struct ClusterSize {
  int nodes = 1, gpus_per_node = 1;
  Value cluster;    // the tree with so many
  Economics least;  // its price, and what a GPU draws that does nothing
  int gpus() const { return nodes * gpus_per_node; }
};

// The values that each axis may take where the others allow it. A user's `--over key=a,b` puts
// other values in place of an axis's own.
struct SearchAxes {
  std::vector<int> tensor, context, pipeline, chunks, micro_batch, zero;
  std::vector<int> schedules;  // of schedules()
  std::vector<Recompute> recompute;
  std::vector<bool> sequence_parallel;
  // Keys of --over: their values are taken as they are, not only where layers divide.
  std::vector<std::string> fixed;
};

// Every plan of a scenario that a search considers: tensor and pipeline parallelism that divide the
// GPUs, chunks that divide the layers, the micro-batches that divide the batch up to 16, ZeRO 0 to
// 3, recomputation, sequence parallelism, every schedule; context parallelism where the scenario
// has it or its sequence is at least 32768 long. What does not go together in other ways is found
// by resolve_plan. Of prefill and decode, tensor and pipeline parallelism of the batch as it is.
// The order is fixed: ties go to the earlier.
class SearchSpace {
 public:
  // `max_gpus` 0: the cluster as it is; else every size from one GPU by powers of two of GPUs in a
  // node and of nodes, and the largest.
  SearchSpace(const Scenario& base, int max_gpus, const std::vector<std::string>& over);

  const std::vector<Choice>& choices() const { return choices_; }
  const std::vector<ClusterSize>& sizes() const { return sizes_; }
  Scenario scenario(const Choice& choice) const;
  // What --set would say: {"plan.tensor_parallel", "8"}, ...
  std::vector<std::pair<std::string, std::string>> settings(const Choice& choice) const;
  // "gpus 512 tp 8 sp pp 8 interleaved-1f1b v 3 mb 2 zero 1 recompute full".
  std::string label(const Choice& choice) const;

 private:
  void size_up(int max_gpus);
  void set_axes(const Model& model, const std::vector<std::string>& over);
  void override_axis(const std::string& text);
  void enumerate(const Model& model);
  void enumerate_pipelines(const Model& model, Choice choice);
  void enumerate_rest(Choice choice);
  bool is_fixed(const char* key) const;
  bool trains() const { return base_.task == Task::kTraining; }

  Scenario base_;
  std::vector<ClusterSize> sizes_;
  SearchAxes axes_;
  std::vector<Choice> choices_;
};

}  // namespace rehearse
