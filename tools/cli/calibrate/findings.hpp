#pragma once

#include <string>

#include "hardware/gpu.hpp"

namespace rehearse {

// A table of the best that the results of a calibration reached, beside the datasheet.
std::string findings(const std::string& results, const Gpu& gpu);

}  // namespace rehearse
