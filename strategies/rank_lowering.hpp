#pragma once

#include <cstdint>
#include <vector>

#include "strategies/rank_meetings.hpp"
#include "strategies/rank_messages.hpp"
#include "strategies/rank_streams.hpp"

namespace rehearse {

// One rank's walk through its steps. What it computes is here: segments, merged into runs or
// instruction by instruction, and single kernels; collectives are RankMeetings, messages
// RankMessages, and all of them put their tasks on RankStreams.
template <class Sink>
class RankLowering {
 public:
  RankLowering(LoweringState<Sink>& state, std::uint32_t index);
  RankLowering(const RankLowering&) = delete;  // its parts refer to each other
  RankLowering& operator=(const RankLowering&) = delete;
  // Goes on until it is done or waits for another rank. True when it got anywhere.
  bool advance();
  bool finished() const { return streams_.step == state_.options.steps; }

 private:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;
  using Streams = RankStreams<Sink>;
  struct Visitor;

  bool execute(const DigestedStep& step);
  void gather(const DigestedStep& step);
  bool run_segment(const Step& step, const RunSegment& run);
  void begin_run(const Step& step, const Slowdowns& beside);
  // What a segment's kernels take over their average this time.
  std::int64_t varied(SegmentId segment);
  // The same of one kernel that takes `ps` on average, an instruction of a segment or on its own.
  std::int64_t varied_kernel(SegmentId segment, std::size_t instr, std::int64_t ps);
  std::int64_t varied_kernel(std::int64_t ps);
  void add_part(SegmentId segment);
  bool run_inside(const CollectiveWork& work, std::int64_t duration, const PricedInstr& p,
                  const Instr& instr, std::int64_t extra);
  void place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr, Task after,
                    const Slowdowns& beside);
  bool run_collective(const RunCollective& c);
  void run_kernel(const RunKernel& k);
  void flush();

  LoweringState<Sink>& state_;
  const RankProgram& rank_;
  Streams streams_;
  RankMeetings<Sink> meetings_;
  RankMessages<Sink> messages_;
  std::vector<const PassDigest*> digests_;  // by pass
  bool varies_ = false;
  std::size_t call_ = 0;    // next of the rank's calls
  std::size_t at_ = 0;      // next of its pass
  std::size_t instr_ = 0;   // next of the segment's priced instructions
  std::size_t memory_ = 0;  // next of its instructions whose memory has been noted
  std::vector<Ready> events_;
  std::vector<RunPart> run_;  // gathered into the next task
  Run gathered_;
  Slowdowns gathered_beside_;        // alike for all of them
  const Step* run_begin_ = nullptr;  // the step of the first of them
  std::int32_t run_micro_batch_ = 0;
  KernelVariation variation_;
  double factor_ = 1;           // of the kernels of `interval_`
  std::int64_t interval_ = -1;  // of the segment that is being walked
};

}  // namespace rehearse
