#pragma once

#include "sim/base/quantity.hpp"

namespace rehearse {

// Failures and checkpoints of a long run.
//
// Model. A job that fails at random, M apart on average, saves its state every tau of work, which
// takes delta, and after a failure needs R to go on from the last checkpoint. Failures may strike
// during all of it. The wall time per piece of work is then (Daly, "A higher order estimate of the
// optimum checkpoint interval for restart dumps", Future Generation Computer Systems 22 (2006),
// equation 20)
//
//     M e^(R/M) (e^((tau + delta)/M) - 1),
//
// and the goodput tau over that. It is best where e^((tau + delta)/M) (1 - tau/M) = 1, whatever R;
// for delta much less than M that is Young's sqrt(2 delta M), and the loss sqrt(2 delta/M).
struct FailureModel {
  Seconds mean_time_between{0};  // of the job
  Seconds checkpoint{0}, restart{0};
};

Seconds young_interval(const FailureModel& m);
Seconds best_interval(const FailureModel& m);
// Work done over time passed.
double goodput(const FailureModel& m, Seconds interval);

// What the report says.
struct Goodput {
  FailureModel failures;
  Seconds interval{0};  // that is used
  Seconds best{0}, young{0};
  double share = 1;              // of the time, that is work kept
  double tokens_per_second = 0;  // kept, over a long run
};

}  // namespace rehearse
