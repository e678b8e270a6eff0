#include <fmt/format.h>

#include <deque>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

// What a rank writes in terms of directions: 0 is that in which its end of the pipeline is the
// first, 1 the other. Ranks r and p - 1 - r do the same with their chunks changed over.
class Writer {
 public:
  explicit Writer(const PipelineShape& s)
      : half_(s.micro_batches / 2), mirrored_(2 * s.rank >= s.ranks) {}

  void forward(int direction, bool with_next = false) {
    add(ActionKind::kForward, direction, forwards_[chunk_of(direction)]++, with_next);
  }
  void backward(int direction, bool split = false) {
    const int m = backwards_[chunk_of(direction)]++;
    add(split ? ActionKind::kBackwardInputs : ActionKind::kBackward, direction, m, false);
    if (!split) return;
    weights_.push_back(actions_.back());
    weights_.back().kind = ActionKind::kBackwardWeights;
  }
  void weights() {
    if (weights_.empty()) return;
    actions_.push_back(weights_.front());
    weights_.pop_front();
  }
  // A forward and a backward in the other direction, as one.
  void pair(int direction) {
    forward(direction, true);
    backward(1 - direction);
  }
  std::vector<Action> finish() {
    while (!weights_.empty()) weights();
    return std::move(actions_);
  }

 private:
  int chunk_of(int direction) const { return mirrored_ ? 1 - direction : direction; }
  void add(ActionKind kind, int direction, int m, bool with_next) {
    const int chunk = chunk_of(direction);
    actions_.push_back({kind, chunk, chunk * half_ + m, with_next});
  }

  int half_;
  bool mirrored_;
  int forwards_[2] = {}, backwards_[2] = {};
  std::deque<Action> weights_;  // put off
  std::vector<Action> actions_;
};

}  // namespace

std::string dualpipe_misfit(const PipelineShape& s) {
  if (s.ranks % 2 != 0) return fmt::format("an even pipeline_parallel, not {}", s.ranks);
  if (s.micro_batches % 2 != 0 || s.micro_batches < 2 * s.ranks)
    return fmt::format(
        "an even number of micro-batches, at least 2 x pipeline_parallel = {}, not {}", 2 * s.ranks,
        s.micro_batches);
  return {};
}

// DualPipe (DeepSeek-V3 technical report, 2024, section 3.2.1; the phases are those of DeepSeek's
// public implementation). Two copies of the model lie over the ranks in opposite directions, each
// takes half of the micro-batches, and a rank runs a forward of one beside a backward of the other.
// The bubble is (p/2 - 1)(F&B + B - 3W), F&B being such a pair, B a whole backward and W its part
// for weights, where a forward takes as long as the other part; p + 1 micro-batches are kept.
std::vector<Action> dualpipe(const PipelineShape& s) {
  Writer w(s);
  const int half = s.ranks / 2;
  const int r = s.rank < half ? s.rank : s.ranks - 1 - s.rank;
  const int outward = half - r - 1;  // ranks between this one and the middle
  for (int i = 0; i < 2 * outward; ++i) w.forward(0);
  for (int i = 0; i <= r; ++i) {
    w.forward(0);
    w.forward(1);
  }
  for (int i = 0; i < outward; ++i) {
    w.backward(1, true);
    w.weights();
    w.forward(1);
  }
  for (int i = 0; i < s.micro_batches / 2 - s.ranks + r + 1; ++i) {
    if (i == 0 && outward == 0) {  // the two in the middle: not as one, which shortens the bubble
      w.forward(0);
      w.backward(1);
    } else {
      w.pair(0);
    }
    w.pair(1);
  }
  for (int i = 0; i < outward; ++i) {
    w.backward(1);
    w.pair(1);
  }
  bool split = false;
  for (int i = 0; i <= r; ++i) {
    const bool here = i == (r + 1) / 2;
    split |= here && r % 2 == 1;
    w.backward(1, split);
    split |= here && r % 2 == 0;
    w.backward(0, split);
  }
  for (int i = 0; i < outward; ++i) {
    w.weights();
    w.backward(0, true);
  }
  return w.finish();
}

}  // namespace rehearse
