#include "tools/cli/command.hpp"

namespace rehearse {

// Each in its own file, tools/cli/<name>.cpp.
void setup_run(CLI::App& sub, std::function<int()>& action);
void setup_compare(CLI::App& sub, std::function<int()>& action);
void setup_sweep(CLI::App& sub, std::function<int()>& action);
void setup_search(CLI::App& sub, std::function<int()>& action);
void setup_explain(CLI::App& sub, std::function<int()>& action);
void setup_price(CLI::App& sub, std::function<int()>& action);
void setup_validate(CLI::App& sub, std::function<int()>& action);
void setup_calibrate(CLI::App& sub, std::function<int()>& action);
void setup_trace_diff(CLI::App& sub, std::function<int()>& action);
void setup_list(CLI::App& sub, std::function<int()>& action);

namespace {

constexpr Command kCommands[] = {
    {"run", "simulates training under one plan and prints the report", setup_run},
    {"compare", "shows plans side by side, best first, with what fits", setup_compare},
    {"sweep", "simulates every combination of a sweep file; resumes where it was stopped",
     setup_sweep},
    {"search", "finds the best plan that fits: time, cost or memory as the objective",
     setup_search},
    {"explain",
     "says where a number of a scenario comes from, or shows a cluster's links and routes",
     setup_explain},
    {"price", "prices one kernel or collective on its own", setup_price},
    {"validate", "shows predicted beside measured for files of measured runs", setup_validate},
    {"calibrate", "measures this machine's GPUs and fits a GPU file; or refits stored results",
     setup_calibrate},
    {"trace-diff", "lays a PyTorch profiler trace beside the simulated step", setup_trace_diff},
    {"list", "lists what there is: models, gpus, clusters, runtimes, ...", setup_list},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace rehearse
