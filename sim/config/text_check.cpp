#include "sim/config/text_check.hpp"

#include "sim/base/error.hpp"

namespace rehearse {
namespace {

// Bytes of the UTF-8 sequence at `i`, 0 when it is none.
std::size_t utf8_length(const std::string& s, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char lead = byte(i);
  std::size_t length = 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) length = 2;
  if (lead >= 0xe0 && lead < 0xf0) length = 3;
  if (lead >= 0xf0 && lead < 0xf5) length = 4;
  if (length == 0 || i + length > s.size()) return 0;
  for (std::size_t k = i + 1; k < i + length; ++k) {
    if ((byte(k) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

void check_is_text(const std::string& text, const std::string& file) {
  int line = 1;
  int column = 1;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    const char c = text[i];
    const bool control =
        static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
    if (length == 0 || control || c == 0x7f) {
      throw UserError(Mark{file, line, column}, "not a text file",
                      "expected YAML or JSON in UTF-8");
    }
    ++column;
    if (c == '\n') {
      ++line;
      column = 1;
    }
    i += length;
  }
}

bool quote_is_closed(const std::string& text, std::size_t offset) {
  std::size_t i = text.find_first_of("\"'|>", offset);
  if (i == std::string::npos || text[i] == '|' || text[i] == '>') return true;
  const char quote = text[i];
  for (++i; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 == text.size() || text[i + 1] != quote) return true;
      ++i;
    }
  }
  return false;
}

}  // namespace rehearse
