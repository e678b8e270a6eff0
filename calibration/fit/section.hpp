#pragma once

#include <string>

namespace rehearse {

// The part of a text file that a program owns, between the lines
//   # rehearse_fit begin NAME
//   # rehearse_fit end NAME
// (indented as they like). Returns the text with the part replaced by `body`, whole lines. Throws
// std::runtime_error when a mark is missing.
bool has_section(const std::string& text, const std::string& name);
std::string with_section(const std::string& text, const std::string& name, const std::string& body);

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& contents);

}  // namespace rehearse
