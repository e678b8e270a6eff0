#pragma once

#include <cstddef>
#include <string>

namespace rehearse {

// Throws UserError unless `text` is UTF-8 without control characters other than tabs and line
// ends: the YAML parser reads binary data without complaint.
void check_is_text(const std::string& text, const std::string& file);

// Whether the quoted scalar at `offset` (or behind the anchor or tag there) ends with its quote:
// the YAML parser lets the end of the file close it. True for a block scalar.
bool quote_is_closed(const std::string& text, std::size_t offset);

}  // namespace rehearse
