#pragma once

#include <string>

#include "tools/cli/search/search.hpp"

namespace rehearse {

// What a search came to, for people and for programs (schema rehearse.search/1).
struct SearchReport {
  std::string scenario, plan;  // as the user names them
  const SearchSpace* space = nullptr;
  const Objective* objective = nullptr;
  const SearchResult* result = nullptr;
  std::string runner_up;  // why the second is not the first; empty when there is none
};

std::string search_text(const SearchReport& report);
std::string search_json(const SearchReport& report);

}  // namespace rehearse
