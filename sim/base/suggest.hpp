#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rehearse {

// The candidate nearest to `given` by Damerau-Levenshtein distance, or empty when none is near
// (more than a third of the letters differ, ignoring case, '-' and '_').
std::string nearest_name(std::string_view given, std::span<const std::string> candidates);

// "did you mean 'x'?" or, with no near candidate and few of them, "one of a, b, c"; else empty.
std::string suggestion(std::string_view given, std::span<const std::string> candidates);

}  // namespace rehearse
