#pragma once

#include <string>
#include <vector>

namespace rehearse {

// Fits what products and attention take in training to RESULTS/gemm.csv and RESULTS/attention.csv
// (calibration/pytorch): writes the marked sections of the GPU file and its tables, in a folder
// beside it that is named after it. A results file that is not there leaves its sections as they
// are. Returns what was found, a line each.
std::vector<std::string> fit_training(const std::string& results, const std::string& gpu_file);

// The text of a GPU file with the marks of those sections, and of calibration/fit_kernels.py's;
// what stood there under the same keys (a transfer from another GPU) goes. Throws
// std::runtime_error where the file has no place for them.
std::string with_training_marks(std::string text);

}  // namespace rehearse
