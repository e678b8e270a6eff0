#pragma once

#include <string>

#include "sim/base/quantity.hpp"

namespace rehearse {

struct RunReport;

// What running costs, beside how long it takes. Only the GPUs' energy is modelled; `pue` stands for
// all else.
struct Economics {
  double price_per_gpu_hour = 0;  // in the user's currency; 0: not given
  Watts power{0};                 // of a GPU, averaged over the step; 0: not known
  double pue = 1;
  double training_tokens = 0;  // of the whole training; 0: not asked for
};

// A training of so many tokens at a constant rate.
struct TrainingRun {
  double tokens = 0;
  Seconds time{0};
  double gpu_hours = 0;
  double cost = 0;    // 0 without a price
  double joules = 0;  // 0 without a power
};
TrainingRun training_run(const Economics& economics, double tokens, double tokens_per_second,
                         int gpus);
// At the report's rate, with time lost to failures where it counts them.
TrainingRun training_run(const RunReport& report, double tokens);

// For people: "3.72 GWh", "45.0 days", "11.06 M".
std::string format_energy(double joules);
std::string format_days(Seconds time);
std::string format_money(double amount);

}  // namespace rehearse
