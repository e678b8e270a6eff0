#pragma once

#include <string>
#include <vector>

namespace rehearse {

// The benchmarks of calibration/, on this machine's GPUs.
//
// Each part is a program that writes one results file into a folder. A part that has ended well
// leaves logs/PART.done there and is not run again; one that was cut off begins anew.

struct MeasureOptions {
  std::string programs;  // the calibration folder
  std::string results;
  double budget_s = 0;  // for all parts together, shared out in proportion
};

struct MeasureOutcome {
  std::vector<std::string> failed;  // parts, with their logs
  bool interrupted = false;
};

// $REHEARSE_CALIBRATION, the installed tree's or the source tree's calibration folder.
std::string calibration_folder();

// Throws UserError with everything that is missing (a GPU, PyTorch, nvcc) and what to do about it.
void check_machine();

MeasureOutcome measure(const MeasureOptions& options);

// `text` as one word of a shell command.
std::string shell_quoted(const std::string& text);
// The Python that runs the benchmarks: $PYTHON or python3.
std::string python();

}  // namespace rehearse
