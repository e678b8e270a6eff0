#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "strategies/plan.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

struct Unit;

// Optimizer states that live in the host's memory (ZeRO-Offload, Ren et al. 2021; FSDP2's
// CPUOffloadPolicy): gradients go to the host as backward makes them, the host's processors update
// part by part in that order, and parameters go back, each part as soon as it is updated; where the
// host keeps the parameters too, they come when they are gathered. Where a framework clips by the
// norm of all gradients, the host waits for all of them first.
class HostOptimizer {
 public:
  explicit HostOptimizer(const ResolvedPlan& plan) : plan_(plan) {}

  // Gradients of `elements`, which a stream has been given to make, leave for the host.
  void gradients(StepWriter& w, StreamKind made_on, std::int64_t elements);
  // After all of them.
  void update(StepWriter& w);

 private:
  struct Part {
    EventId arrived = 0;
    std::int64_t elements = 0;
  };
  const ResolvedPlan& plan_;
  std::vector<Part> parts_;
};

// What a layer keeps for its backward lives in the host's memory in between (as Transformer Engine
// and torchtune offload activations): it leaves while the next layer computes, and comes back while
// the layer behind it is in its backward. The last layer, whose backward follows at once, keeps its
// own.
class ActivationOffload {
 public:
  void after_forward(StepWriter& w, const Unit& unit);
  // Of a chunk: nothing is on its way any more.
  void end_forward(StepWriter& w);
  // Of the chunk's unit number `at`.
  void before_backward(StepWriter& w, std::span<const Unit> chunk, std::size_t at);

 private:
  static bool leaves(const StepWriter& w, const Unit& unit);
  EventId fetch(StepWriter& w, const Unit& unit);

  const Unit* leaving_ = nullptr;
  EventId left_ = 0;
  const Unit* coming_ = nullptr;
  EventId came_ = 0;
};

}  // namespace rehearse
