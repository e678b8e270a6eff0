#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rehearse {

// One thing that a pipeline rank does. `chunk` counts the rank's own model chunks from 0.
enum class ActionKind : std::uint8_t { kForward, kBackward, kBackwardInputs, kBackwardWeights };
struct Action {
  ActionKind kind{};
  int chunk = 0;
  int micro_batch = 0;
  bool operator==(const Action&) const = default;
};

struct PipelineShape {
  int ranks = 1;
  int rank = 0;
  int micro_batches = 1;
  int chunks = 1;  // per rank
};

// How a rank's chunks lie in the model. Loop: chunk c of rank r is stage c p + r. V: the second
// chunk comes back, stage 2 p - 1 - r.
enum class Placement : std::uint8_t { kLoop, kV };

struct Schedule {
  const char* name;
  const char* summary;
  Placement placement;
  int chunks_per_rank;   // 0: as `virtual_stages` says; else what the schedule needs
  bool whole_rounds;     // micro-batches must be a multiple of the ranks
  bool splits_backward;  // gradients of weights come apart from those of activations
  std::vector<Action> (*actions)(const PipelineShape&);
};

std::span<const Schedule> schedules();
const Schedule* find_schedule(const std::string& name);
std::vector<std::string> schedule_names();

// Stage in model order of a rank's chunk, and the other way round.
int stage_of(const Schedule& s, int ranks, int rank, int chunk);
struct StagePlace {
  int rank = 0, chunk = 0;
};
StagePlace place_of(const Schedule& s, int ranks, int chunks, int stage);

// One file each.
std::vector<Action> gpipe(const PipelineShape&);
std::vector<Action> one_forward_one_backward(const PipelineShape&);
std::vector<Action> interleaved(const PipelineShape&);
std::vector<Action> interleaved_zero_bubble(const PipelineShape&);
std::vector<Action> zbv(const PipelineShape&);

}  // namespace rehearse
