#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.hpp"

namespace rehearse {

// The binary tables beside GPU files: little-endian u32, f32 and i16. A value is a log2 of a ratio
// of times in units of 1/4096 (0.02 %).
inline constexpr double kLog2Unit = 1.0 / 4096;
std::int16_t encode_log2(double log2_ratio);

void put_u32(std::string& out, std::int64_t value);
void put_f32(std::string& out, double value);
void put_i16(std::string& out, std::int16_t value);

// Reads such bytes; throws std::runtime_error with the reason when they are not what is asked for.
class TableReader {
 public:
  explicit TableReader(const std::string& bytes) : bytes_(bytes) {}

  void magic(std::string_view text);
  std::uint32_t u32();
  double f32();
  std::int16_t i16();
  std::uint32_t count();  // of an axis
  // An axis: `count` positive sizes, ascending.
  std::vector<std::int64_t> sizes(std::uint32_t count);
  void end() const;

 private:
  unsigned byte(std::size_t i) const { return static_cast<unsigned char>(bytes_[at_ + i]); }
  void need(std::size_t size) const;

  const std::string& bytes_;
  std::size_t at_ = 0;
};

// The file's bytes. Throws UserError at `mark`, the field that names the file.
std::string read_table_bytes(const std::string& path, const Mark& mark);

template <class Decode>
auto load_table(const std::string& path, const Mark& mark, Decode decode) {
  const std::string bytes = read_table_bytes(path, mark);
  try {
    return decode(bytes);
  } catch (const std::runtime_error& e) {
    throw UserError(mark, "the table '" + path + "' is damaged: " + e.what());
  }
}

}  // namespace rehearse
