#include "tools/cli/search/space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "hardware/cluster.hpp"
#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/reader.hpp"
#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

constexpr int kLargestMicroBatch = 16;
constexpr std::int64_t kLongSequence = 32768;
constexpr int kLargestContext = 16;

std::vector<int> divisors(std::int64_t n, std::int64_t limit) {
  std::vector<int> out;
  for (std::int64_t d = 1; d <= std::min(n, limit); ++d)
    if (n % d == 0) out.push_back(static_cast<int>(d));
  return out;
}

const Schedule& schedule_at(int index) { return schedules()[static_cast<std::size_t>(index)]; }

int schedule_index(const std::string& name) {
  for (std::size_t i = 0; i < schedules().size(); ++i)
    if (schedules()[i].name == name) return static_cast<int>(i);
  return -1;
}

// Values of an axis that --over gives, read as the key's type.
template <class T>
std::vector<T> read_values(const std::vector<Value>& values, const std::string& key) {
  std::vector<T> out;
  for (const Value& v : values) out.push_back(scalar_as<T>(v, key));
  return out;
}

}  // namespace

SearchSpace::SearchSpace(const Scenario& base, int max_gpus, const std::vector<std::string>& over)
    : base_(base) {
  if (base_.task == Task::kServing)
    throw UserError(base_.mark_of("task"), "a search looks for the plan of one step",
                    "compare and sweep lay servings side by side");
  size_up(max_gpus);
  const Model model = read_model(base_.model);
  base_.plan.stage_layers.clear();
  set_axes(model, over);
  enumerate(model);
}

void SearchSpace::size_up(int max_gpus) {
  const Cluster cluster = read_cluster(base_.cluster);
  Economics least{cluster.price_per_gpu_hour, cluster.gpu.power.idle, cluster.pue, 0};
  for (const Gpu& gpu : cluster.other_gpus) least.power = min(least.power, gpu.power.idle);
  const auto add = [&](int nodes, int per_node) {
    ClusterSize size{nodes, per_node, base_.cluster, least};
    if (nodes != cluster.nodes) size.cluster.set("nodes", Value::scalar(std::to_string(nodes)));
    if (per_node != cluster.gpus_per_node)
      size.cluster.set("gpus_per_node", Value::scalar(std::to_string(per_node)));
    const auto same = [&](const ClusterSize& s) { return s.gpus() == size.gpus(); };
    if (std::none_of(sizes_.begin(), sizes_.end(), same)) sizes_.push_back(std::move(size));
  };
  if (max_gpus == 0) {
    add(cluster.nodes, cluster.gpus_per_node);
    return;
  }
  const int node = std::min(cluster.gpus_per_node, max_gpus);
  for (int n = 1; n < node; n *= 2) add(1, n);
  add(1, node);
  for (int n = 2; n <= max_gpus / cluster.gpus_per_node; n *= 2) add(n, cluster.gpus_per_node);
  if (max_gpus >= cluster.gpus_per_node)
    add(max_gpus / cluster.gpus_per_node, cluster.gpus_per_node);
}

void SearchSpace::set_axes(const Model& model, const std::vector<std::string>& over) {
  int most = 1;
  for (const ClusterSize& s : sizes_) most = std::max(most, s.gpus());
  const Training& t = base_.training;
  axes_.tensor = divisors(model.heads, most);
  axes_.pipeline.resize(static_cast<std::size_t>(std::min<std::int64_t>(most, model.layers)));
  std::iota(axes_.pipeline.begin(), axes_.pipeline.end(), 1);
  axes_.chunks.resize(static_cast<std::size_t>(model.layers));
  std::iota(axes_.chunks.begin(), axes_.chunks.end(), 1);
  axes_.context = {1};
  if (base_.plan.context_parallel > 1 || t.sequence_length >= kLongSequence)
    for (int c = 2; c <= std::max(kLargestContext, base_.plan.context_parallel); c *= 2)
      axes_.context.push_back(c);
  axes_.micro_batch = divisors(t.global_batch_size, kLargestMicroBatch);
  axes_.zero = {0, 1, 2, 3};
  axes_.recompute = {Recompute::kNone, Recompute::kSelective, Recompute::kFull};
  axes_.sequence_parallel = {false, true};
  for (std::size_t i = 0; i < schedules().size(); ++i)
    axes_.schedules.push_back(static_cast<int>(i));
  if (!trains()) {  // one pass of the batch as it is, forward alone
    axes_.micro_batch = {static_cast<int>(t.micro_batch_size)};
    axes_.context = {1};
    axes_.zero = {0};
    axes_.recompute = {Recompute::kNone};
    axes_.sequence_parallel = {false};
    axes_.schedules = {schedule_index("1f1b")};
  }
  for (const std::string& text : over) override_axis(text);
}

void SearchSpace::override_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  const auto [key, value] =
      equals == std::string::npos
          ? parse_override(text)
          : parse_override(text.substr(0, equals) + "=[" + text.substr(equals + 1) + "]");
  if (!value.is_list() || value.as_list().empty())
    throw UserError({}, fmt::format("--over '{}' is not of the form key=a,b,c", text));
  const std::vector<Value>& values = value.as_list();
  const std::pair<const char*, std::vector<int>*> counts[] = {
      {"plan.tensor_parallel", &axes_.tensor},
      {"plan.context_parallel", &axes_.context},
      {"plan.pipeline_parallel", &axes_.pipeline},
      {"plan.virtual_stages", &axes_.chunks},
      {"training.micro_batch_size", &axes_.micro_batch}};
  std::vector<std::string> known{"plan.zero_stage", "plan.schedule", "plan.sequence_parallel",
                                 "training.recompute"};
  axes_.fixed.push_back(key);
  for (const auto& [name, axis] : counts) {
    known.emplace_back(name);
    if (key != name) continue;
    *axis = read_values<int>(values, key);
    for (const int n : *axis)
      if (n < 1) throw UserError({}, fmt::format("--over {}: {} is not at least 1", key, n));
    return;
  }
  if (key == "plan.zero_stage") {
    axes_.zero = read_values<int>(values, key);
  } else if (key == "plan.sequence_parallel") {
    axes_.sequence_parallel = read_values<bool>(values, key);
  } else if (key == "plan.schedule") {
    axes_.schedules.clear();
    for (const std::string& name : read_values<std::string>(values, key)) {
      axes_.schedules.push_back(schedule_index(name));
      if (axes_.schedules.back() < 0)
        throw UserError({}, fmt::format("--over {}: no schedule '{}'", key, name),
                        suggestion(name, schedule_names()));
    }
  } else if (key == "training.recompute") {
    axes_.recompute.clear();
    for (const std::string& name : read_values<std::string>(values, key)) {
      const auto* at = std::find(std::begin(kRecomputeNames), std::end(kRecomputeNames), name);
      if (at == std::end(kRecomputeNames))
        throw UserError({}, fmt::format("--over {}: unknown value '{}'", key, name),
                        "one of none, selective, full, operators, alternate");
      axes_.recompute.push_back(static_cast<Recompute>(at - std::begin(kRecomputeNames)));
    }
  } else {
    throw UserError({}, fmt::format("--over: '{}' is not what a search varies", key),
                    suggestion(key, known));
  }
}

bool SearchSpace::is_fixed(const char* key) const {
  return std::find(axes_.fixed.begin(), axes_.fixed.end(), key) != axes_.fixed.end();
}

void SearchSpace::enumerate(const Model& model) {
  for (std::size_t s = 0; s < sizes_.size(); ++s)
    for (const int tensor : axes_.tensor)
      for (const int context : axes_.context)
        for (const int pipeline : axes_.pipeline) {
          Choice c;
          c.size = static_cast<std::int32_t>(s);
          c.tensor = tensor;
          c.context = context;
          c.pipeline = pipeline;
          const std::int64_t ranks = std::int64_t{tensor} * context * pipeline;
          if (sizes_[s].gpus() % ranks == 0) enumerate_pipelines(model, c);
        }
}

// Schedules and chunks. Without a pipeline they mean nothing; 1F1B has one chunk, and interleaved
// 1F1B with one is 1F1B.
void SearchSpace::enumerate_pipelines(const Model& model, Choice c) {
  if (c.pipeline == 1) {
    c.schedule = static_cast<std::int16_t>(schedule_index("1f1b"));
    enumerate_rest(c);
    return;
  }
  for (const int s : axes_.schedules) {
    const Schedule& schedule = schedule_at(s);
    c.schedule = static_cast<std::int16_t>(s);
    if (schedule.chunks_per_rank > 0) {
      c.chunks = schedule.chunks_per_rank;
      enumerate_rest(c);
      continue;
    }
    for (const int chunks : axes_.chunks) {
      const std::int64_t stages = std::int64_t{c.pipeline} * chunks;
      if (stages > model.layers) break;
      const bool even = model.layers % stages == 0 || (model.layers + 2) % stages == 0;
      if (!even && chunks > 1 && !is_fixed("plan.virtual_stages")) continue;
      if (chunks == 1 && std::string_view(schedule.name) == "interleaved-1f1b") continue;
      c.chunks = chunks;
      enumerate_rest(c);
    }
  }
}

void SearchSpace::enumerate_rest(Choice c) {
  const int data =
      sizes_[static_cast<std::size_t>(c.size)].gpus() / (c.tensor * c.context * c.pipeline);
  for (const int micro_batch : axes_.micro_batch) {
    if (trains() && base_.training.global_batch_size % (std::int64_t{micro_batch} * data) != 0)
      continue;
    c.micro_batch = micro_batch;
    for (const int zero : axes_.zero) {
      if (zero > 0 && data * c.context == 1) continue;  // nothing to cut over
      c.zero = static_cast<std::int16_t>(zero);
      for (const Recompute recompute : axes_.recompute) {
        c.recompute = recompute;
        for (const bool sequence : axes_.sequence_parallel) {
          if (sequence && c.tensor == 1) continue;
          c.sequence_parallel = sequence;
          choices_.push_back(c);
        }
      }
    }
  }
}

Scenario SearchSpace::scenario(const Choice& c) const {
  Scenario s = base_;
  s.cluster = sizes_[static_cast<std::size_t>(c.size)].cluster;
  s.plan.data_parallel = 0;
  s.plan.tensor_parallel = c.tensor;
  s.plan.context_parallel = c.context;
  s.plan.pipeline_parallel = c.pipeline;
  s.plan.virtual_stages = c.chunks;
  s.plan.schedule = schedule_at(c.schedule).name;
  s.plan.zero_stage = c.zero;
  s.plan.sequence_parallel = c.sequence_parallel;
  s.training.micro_batch_size = c.micro_batch;
  s.training.recompute = c.recompute;
  return s;
}

std::vector<std::pair<std::string, std::string>> SearchSpace::settings(const Choice& c) const {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const char* key, auto value) {
    out.emplace_back(key, fmt::format("{}", value));
  };
  const ClusterSize& size = sizes_[static_cast<std::size_t>(c.size)];
  if (sizes_.size() > 1) {
    add("cluster.nodes", size.nodes);
    add("cluster.gpus_per_node", size.gpus_per_node);
  }
  add("plan.data_parallel", size.gpus() / (c.tensor * c.context * c.pipeline));
  add("plan.tensor_parallel", c.tensor);
  if (!trains()) {
    add("plan.pipeline_parallel", c.pipeline);
    return out;
  }
  add("plan.sequence_parallel", c.sequence_parallel);
  add("plan.context_parallel", c.context);
  add("plan.pipeline_parallel", c.pipeline);
  add("plan.schedule", schedule_at(c.schedule).name);
  add("plan.virtual_stages", c.chunks);
  add("plan.zero_stage", c.zero);
  add("training.micro_batch_size", c.micro_batch);
  add("training.recompute", kRecomputeNames[static_cast<std::size_t>(c.recompute)]);
  return out;
}

std::string SearchSpace::label(const Choice& c) const {
  const int gpus = sizes_[static_cast<std::size_t>(c.size)].gpus();
  std::string out = sizes_.size() > 1 ? fmt::format("gpus {} ", gpus) : "";
  out += fmt::format("dp {}", gpus / (c.tensor * c.context * c.pipeline));
  if (c.tensor > 1) out += fmt::format(" tp {}{}", c.tensor, c.sequence_parallel ? " sp" : "");
  if (c.context > 1) out += fmt::format(" cp {}", c.context);
  if (c.pipeline > 1) out += fmt::format(" pp {} {}", c.pipeline, schedule_at(c.schedule).name);
  if (c.pipeline > 1 && c.chunks > 1) out += fmt::format(" v {}", c.chunks);
  if (c.zero > 0) out += fmt::format(" zero {}", c.zero);
  if (trains()) out += fmt::format(" mb {}", c.micro_batch);
  if (c.recompute != Recompute::kNone)
    out += fmt::format(" recompute {}", kRecomputeNames[static_cast<std::size_t>(c.recompute)]);
  return out;
}

}  // namespace rehearse
