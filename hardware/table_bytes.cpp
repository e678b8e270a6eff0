#include "hardware/table_bytes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>

namespace rehearse {

namespace {

constexpr std::uint32_t kLongestAxis = 4096;  // a damaged count must not allocate the world

}  // namespace

std::int16_t encode_log2(double log2_ratio) {
  const double scaled = std::clamp(log2_ratio / kLog2Unit, -32767.0, 32767.0);
  return static_cast<std::int16_t>(std::lround(scaled));
}

void put_u32(std::string& out, std::int64_t value) {
  const auto v = static_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>(static_cast<unsigned char>((v >> shift) & 0xffU)));
  }
}

void put_f32(std::string& out, double value) {
  put_u32(out, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
}

void put_i16(std::string& out, std::int16_t value) {
  const auto v = std::bit_cast<std::uint16_t>(value);
  out.push_back(static_cast<char>(static_cast<unsigned char>(v & 0xffU)));
  out.push_back(static_cast<char>(static_cast<unsigned char>(v >> 8)));
}

void TableReader::need(std::size_t size) const {
  if (bytes_.size() - at_ < size) throw std::runtime_error("it ends too early");
}

void TableReader::magic(std::string_view text) {
  need(text.size());
  if (bytes_.compare(at_, text.size(), text) != 0) throw std::runtime_error("wrong magic");
  at_ += text.size();
}

std::uint32_t TableReader::u32() {
  need(4);
  std::uint32_t v = 0;
  for (unsigned i = 0; i < 4; ++i) v |= static_cast<std::uint32_t>(byte(i)) << (8 * i);
  at_ += 4;
  return v;
}

double TableReader::f32() { return static_cast<double>(std::bit_cast<float>(u32())); }

std::int16_t TableReader::i16() {
  need(2);
  const auto v = static_cast<std::uint16_t>(byte(0) | (byte(1) << 8));
  at_ += 2;
  return std::bit_cast<std::int16_t>(v);
}

std::uint32_t TableReader::count() {
  const std::uint32_t v = u32();
  if (v > kLongestAxis) throw std::runtime_error("a count is out of range");
  return v;
}

std::vector<std::int64_t> TableReader::sizes(std::uint32_t count) {
  std::vector<std::int64_t> out;
  for (std::uint32_t i = 0; i < count; ++i) out.push_back(static_cast<std::int64_t>(u32()));
  const auto fall = std::adjacent_find(out.begin(), out.end(), std::greater_equal<>());
  if (out.empty() || out.front() < 1 || fall != out.end()) {
    throw std::runtime_error("an axis does not ascend");
  }
  return out;
}

void TableReader::end() const {
  if (at_ != bytes_.size()) throw std::runtime_error("bytes left over");
}

std::string read_table_bytes(const std::string& path, const Mark& mark) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(mark, "cannot read the table '" + path + "'");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace rehearse
