#include "calibration/fit/section.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace rehearse {

namespace {

std::string beginning(const std::string& name) { return "# rehearse_fit begin " + name + "\n"; }

}  // namespace

bool has_section(const std::string& text, const std::string& name) {
  return text.find(beginning(name)) != std::string::npos;
}

std::string with_section(const std::string& text, const std::string& name,
                         const std::string& body) {
  const std::string begin = beginning(name);
  const std::size_t begins = text.find(begin);
  const std::size_t ends = text.find("# rehearse_fit end " + name + "\n");
  if (begins == std::string::npos || ends == std::string::npos || ends < begins) {
    throw std::runtime_error("there are no marks of section '" + name + "'");
  }
  const std::size_t line_of_end = text.rfind('\n', ends) + 1;
  return text.substr(0, begins + begin.size()) + body + text.substr(line_of_end);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read '" + path + "'");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& contents) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder);
  std::ofstream out(path, std::ios::binary);
  out << contents;
  if (!out.flush()) throw std::runtime_error("cannot write '" + path + "'");
}

}  // namespace rehearse
