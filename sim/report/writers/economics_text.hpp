#pragma once

#include <string>
#include <vector>

namespace rehearse {

struct RunReport;

// What a report says about energy and cost, in lines as those of its headline.
std::string economics_text(const RunReport& report);
// The same of several, one line each.
std::string economics_table(const std::vector<const RunReport*>& reports,
                            const std::vector<std::string>& labels);

}  // namespace rehearse
