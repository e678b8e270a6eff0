#pragma once

#include <string>
#include <vector>

namespace rehearse {

// The page of a sweep, from its finished result file (.csv or .jsonl).
std::string sweep_report_page(const std::string& results, const std::vector<std::string>& keys);

}  // namespace rehearse
