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
  // One piece of work with the next action: both start when the inputs of both are there, and the
  // results of both leave at its end.
  bool with_next = false;
  bool operator==(const Action&) const = default;
};

struct PipelineShape {
  int ranks = 1;
  int rank = 0;
  int micro_batches = 1;
  int chunks = 1;  // per rank
};

// How a rank's chunks lie in the model. Loop: chunk c of rank r is stage c p + r. V: the second
// chunk comes back, stage 2 p - 1 - r. Mirror: two copies of the model of p stages each, of which
// the second lies the other way round, chunk 1 of rank r being its stage p - 1 - r; chunk c takes
// the c-th half of the micro-batches.
enum class Placement : std::uint8_t { kLoop, kV, kMirror };

// How torch.distributed.pipelining brings a schedule's messages into the order of its one stream
// (pipeline_steps.hpp).
enum class Exchanges : std::uint8_t {
  kEach,   // each message by itself: a receive just before what needs it
  kFused,  // in the steady phase a send with the receive that follows it
  kPosted  // each by itself: a receive as soon as its sender has sent
};

struct Schedule {
  const char* name;
  const char* summary;
  Placement placement;
  int chunks_per_rank;   // 0: as `virtual_stages` says; else what the schedule needs
  bool splits_backward;  // gradients of weights come apart from those of activations
  // The optimizer starts on each rank without waiting for the others' gradients, and is checked
  // afterwards (Qi et al. 2024, section 4).
  bool post_validates;
  Exchanges exchanges;
  // What shapes of more than one rank and chunk it needs: "needs ..." , or nothing where it fits.
  std::string (*misfit)(const PipelineShape&);
  std::vector<Action> (*actions)(const PipelineShape&);

  int copies() const { return placement == Placement::kMirror ? 2 : 1; }
  int copy_of(int chunk) const { return placement == Placement::kMirror ? chunk : 0; }
};

std::span<const Schedule> schedules();
const Schedule* find_schedule(const std::string& name);
std::vector<std::string> schedule_names();

// Stage in model order of a rank's chunk, and the other way round, within a copy of the model.
int stage_of(const Schedule& s, int ranks, int rank, int chunk);
struct StagePlace {
  int rank = 0, chunk = 0;
};
StagePlace place_of(const Schedule& s, int ranks, int chunks, int stage, int copy = 0);

// One file each.
std::vector<Action> gpipe(const PipelineShape&);
std::vector<Action> one_forward_one_backward(const PipelineShape&);
std::vector<Action> interleaved(const PipelineShape&);
std::vector<Action> interleaved_zero_bubble(const PipelineShape&);
std::vector<Action> zb_h1(const PipelineShape&);
std::vector<Action> zb_h2(const PipelineShape&);
std::vector<Action> zbv(const PipelineShape&);
std::vector<Action> dualpipe(const PipelineShape&);
std::string interleaved_misfit(const PipelineShape&);
std::string dualpipe_misfit(const PipelineShape&);

}  // namespace rehearse
