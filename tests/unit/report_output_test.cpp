#include <zlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sim/base/error.hpp"
#include "sim/report/run_report.hpp"
#include "tests/unit/temp_folder.hpp"

using namespace rehearse;
namespace fs = std::filesystem;

namespace {

std::string in(const TempFolder& folder, const std::string& name) {
  return folder.path() + "/" + name;
}

std::ptrdiff_t files_in(const TempFolder& folder) {
  return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator());
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string read_gzip(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  std::string text(std::size_t{8} << 20U, '\0');
  const int n = gzread(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

}  // namespace

TEST_CASE("output replaces what was there and leaves nothing beside it", "[report][output]") {
  const TempFolder folder;
  write_output(in(folder, "run.json"), "first, and longer");
  write_output(in(folder, "run.json"), "second");
  CHECK(read(in(folder, "run.json")) == "second");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("output to a name that ends in .gz is gzip", "[report][output]") {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 400000; ++i) text += std::to_string(i) + "\n";
  write_output(in(folder, "trace.json.gz"), text);
  const std::string packed = read(in(folder, "trace.json.gz"));
  REQUIRE(packed.size() > 2);
  CHECK(packed.size() < text.size());
  CHECK(static_cast<unsigned char>(packed[0]) == 0x1F);
  CHECK(static_cast<unsigned char>(packed[1]) == 0x8B);
  CHECK(read_gzip(in(folder, "trace.json.gz")) == text);
}

TEST_CASE("an empty text is a whole gzip file too", "[report][output]") {
  const TempFolder folder;
  write_output(in(folder, "empty.gz"), "");
  CHECK(!read(in(folder, "empty.gz")).empty());
  CHECK(read_gzip(in(folder, "empty.gz")).empty());
}

TEST_CASE("a path that cannot be written is the user's mistake", "[report][output]") {
  const TempFolder folder;
  CHECK_THROWS_AS(check_output(in(folder, "missing/run.json")), UserError);
  CHECK_THROWS_AS(write_output(in(folder, "missing/run.json"), "text"), UserError);
  CHECK_THROWS_AS(check_output(in(folder, "")), UserError);  // a directory
  CHECK_THROWS_AS(check_output(""), UserError);
  CHECK(files_in(folder) == 0);
}

TEST_CASE("checking a path creates nothing", "[report][output]") {
  const TempFolder folder;
  CHECK_NOTHROW(check_output(in(folder, "run.json")));
  CHECK_NOTHROW(check_output("-"));
  CHECK(files_in(folder) == 0);
}

TEST_CASE("a device is written, not replaced", "[report][output]") {
  write_output("/dev/null", "text");
  CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("output through a symbolic link replaces what it names", "[report][output]") {
  const TempFolder folder;
  write_output(in(folder, "target.json"), "old");
  fs::create_symlink(in(folder, "target.json"), in(folder, "link.json"));
  write_output(in(folder, "link.json"), "new");
  CHECK(fs::is_symlink(in(folder, "link.json")));
  CHECK(read(in(folder, "target.json")) == "new");
}
