#include "strategies/program.hpp"

#include <algorithm>
#include <utility>

namespace rehearse {

std::string_view to_string(GroupKind g) {
  switch (g) {
    case GroupKind::kTensor:
      return "tp";
    case GroupKind::kContext:
      return "cp";
    case GroupKind::kData:
      return "dp";
    case GroupKind::kPipeline:
      return "pp";
    case GroupKind::kEmbedding:
      return "embedding";
    case GroupKind::kCopies:
      return "copies";
    case GroupKind::kExpert:
      return "ep";
    case GroupKind::kExpertData:
      return "edp";
    case GroupKind::kToHost:
      return "to_host";
    case GroupKind::kFromHost:
      return "from_host";
  }
  return "";
}

std::string_view to_string(StreamKind s) {
  switch (s) {
    case StreamKind::kCompute:
      return "compute";
    case StreamKind::kData:
      return "nccl dp";
    case StreamKind::kSendNext:
      return "send next";
    case StreamKind::kSendPrevious:
      return "send previous";
    case StreamKind::kMessages:
      return "nccl pp";
    case StreamKind::kCopy:
      return "gather copy-in";
    case StreamKind::kToHost:
      return "to host";
    case StreamKind::kFromHost:
      return "from host";
  }
  return "";
}

std::int64_t Program::place_of(const MemoryChange& change, std::int32_t frame) const {
  switch (change.scope) {
    case MemoryScope::kFrame:
      return frame;
    case MemoryScope::kPrevious:
      return frame - 1;
    case MemoryScope::kNext:
      return frame + 1;
    case MemoryScope::kRank:
      return frame % positions;
    case MemoryScope::kModel:
      return positions;
  }
  return frame;
}

std::uint32_t Program::add_pieces(std::vector<Bytes> sizes) {
  if (sizes.size() <= 1) return 0;
  pieces.push_back(std::move(sizes));
  return static_cast<std::uint32_t>(pieces.size() - 1);
}

std::uint32_t Program::intern(const std::string& name) {
  const auto it = std::find(names.begin(), names.end(), name);
  if (it != names.end()) return static_cast<std::uint32_t>(it - names.begin());
  names.push_back(name);
  return static_cast<std::uint32_t>(names.size() - 1);
}

void StepList::push_back(Step step) {
  if (passes_.empty() || passes_.back().use_count() > 1) begin_pass(0);
  passes_.back()->push_back(std::move(step));
}

std::uint32_t StepList::begin_pass(std::int32_t micro_batch) {
  const auto id = static_cast<std::uint32_t>(passes_.size());
  passes_.push_back(std::make_shared<Pass>());
  call(id, micro_batch);
  return id;
}

Step StepList::at(const Call& call, std::size_t step) const {
  Step s = pass(call.pass)[step];
  if (call.micro_batch == 0) return s;
  if (s.micro_batch >= 0) s.micro_batch += call.micro_batch;
  if (auto* run = std::get_if<RunSegment>(&s.work)) run->frame += frame_shift(call);
  if (auto* memory = std::get_if<Memory>(&s.work)) memory->frame += frame_shift(call);
  if (auto* send = std::get_if<Send>(&s.work))
    send->tag += static_cast<std::uint32_t>(call.micro_batch);
  if (auto* receive = std::get_if<Receive>(&s.work))
    receive->tag += static_cast<std::uint32_t>(call.micro_batch);
  return s;
}

std::size_t StepList::size() const {
  std::size_t n = 0;
  for (const Call& c : calls_) n += pass(c.pass).size();
  return n;
}

std::vector<Step> StepList::all() const {
  std::vector<Step> out;
  out.reserve(size());
  for (const Step& s : *this) out.push_back(s);
  return out;
}

std::vector<std::int32_t> StepList::times_called() const {
  std::vector<std::int32_t> out(passes_.size(), 0);
  for (const Call& c : calls_) ++out[c.pass];
  return out;
}

std::vector<StepList::Stretch> StepList::stretches() const {
  std::vector<Stretch> out;
  add_stretches(0, calls_.size(), out);
  return out;
}

void StepList::add_stretches(std::size_t begin, std::size_t end, std::vector<Stretch>& out) const {
  if (begin == end) return;
  const std::optional<Stretch> found = stretch_around_middle(begin, end);
  if (!found) {
    out.push_back({begin, end - begin});
    return;
  }
  add_stretches(begin, found->begin, out);
  out.push_back(*found);
  add_stretches(found->end(), end, out);
}

std::optional<StepList::Stretch> StepList::stretch_around_middle(std::size_t begin,
                                                                 std::size_t end) const {
  constexpr std::size_t kMostTried = 128;  // periods: calls of one pass in a round of a schedule
  const std::size_t middle = begin + (end - begin) / 2;
  std::optional<Stretch> best;
  std::size_t tried = 0;
  for (std::size_t at = middle + 1; at < end && tried < kMostTried; ++at) {
    if (calls_[at].pass != calls_[middle].pass) continue;
    ++tried;
    const std::size_t period = at - middle;
    const std::int32_t shift = calls_[at].micro_batch - calls_[middle].micro_batch;
    const auto again = [&](std::size_t i) {
      return calls_[i + period].pass == calls_[i].pass &&
             calls_[i + period].micro_batch - calls_[i].micro_batch == shift;
    };
    std::size_t first = middle, last = middle;  // calls that come again
    while (first > begin && again(first - 1)) --first;
    while (last + 1 + period < end && again(last + 1)) ++last;
    const std::size_t count = (last + 1 - first) / period + 1;
    if (count < kLeastPeriods || (best && best->period * best->count >= period * count)) continue;
    best = Stretch{first, period, count, shift};
    if (2 * period * count >= end - begin)
      break;  // most of it: longer periods are several of these
  }
  return best;
}

std::optional<StepList> StepList::without_periods(const Stretch& stretch, std::size_t end,
                                                  std::size_t n) const {
  StepList out = *this;
  const auto at = [&](std::size_t call) {
    return out.calls_.begin() + static_cast<std::ptrdiff_t>(call);
  };
  const std::int32_t earlier = static_cast<std::int32_t>(n) * stretch.shift;
  for (auto c = out.calls_.erase(at(end - n * stretch.period), at(end)); c != out.calls_.end();
       ++c) {
    if (c->micro_batch == 0) continue;  // of no micro-batch, or of the first
    c->micro_batch -= earlier;
    if (c->micro_batch < 0) return {};
  }
  return out;
}

StepList::Iterator::Iterator(const StepList& list, std::size_t call) : list_(&list), call_(call) {
  skip_empty();
}

StepList::Iterator& StepList::Iterator::operator++() {
  ++step_;
  skip_empty();
  return *this;
}

void StepList::Iterator::skip_empty() {
  while (call_ < list_->calls_.size() && step_ >= list_->pass(list_->calls_[call_].pass).size()) {
    ++call_;
    step_ = 0;
  }
}

}  // namespace rehearse
