#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "sim/base/error.hpp"
#include "sim/report/writers/writers.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw UserError(Mark{}, "cannot write '" + path + "': " + reason);
}

std::string last_error() { return std::strerror(errno); }

// What a path leads to: the file that a symbolic link names is replaced, not the link.
fs::path target_of(const std::string& path) {
  std::error_code ignored;
  const fs::path resolved = fs::canonical(path, ignored);
  return ignored ? fs::path(path) : resolved;
}

fs::path folder_of(const fs::path& target) {
  const fs::path folder = target.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

// A pipe or a device is written in place; there is nothing beside it to take its name.
bool is_special(const fs::path& target) {
  std::error_code ignored;
  return fs::exists(target, ignored) && !fs::is_regular_file(target, ignored);
}

std::string gzip(const std::string& path, const std::string& text) {
  // 15 bits of window, 16 more for gzip's header rather than zlib's.
  constexpr int kGzipWindowBits = 15 + 16;
  constexpr int kMemoryLevel = 8;
  constexpr int kLevel = 6;
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindowBits, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    fail(path, "zlib does not start");
  }
  constexpr std::size_t kPiece = std::size_t{1} << 20U;
  std::string packed;
  std::string buffer(kPiece, '\0');
  std::string input;
  int state = Z_OK;
  for (std::size_t offset = 0; state != Z_STREAM_END;) {
    if (stream.avail_in == 0 && offset < text.size()) {
      input = text.substr(offset, kPiece);
      offset += input.size();
      stream.next_in = reinterpret_cast<Bytef*>(input.data());
      stream.avail_in = static_cast<uInt>(input.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    state = deflate(&stream, offset < text.size() ? Z_NO_FLUSH : Z_FINISH);
    packed.append(buffer, 0, buffer.size() - stream.avail_out);
    if (state == Z_STREAM_ERROR) break;
  }
  deflateEnd(&stream);
  if (state != Z_STREAM_END) fail(path, "zlib failed");
  return packed;
}

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// False, with errno set, when not all of it was written.
bool write_all(const fs::path& file, const std::string& text) {
  std::unique_ptr<std::FILE, Close> out(std::fopen(file.c_str(), "wb"));
  if (!out) return false;
  if (std::fwrite(text.data(), 1, text.size(), out.get()) != text.size()) return false;
  return std::fclose(out.release()) == 0;
}

void write_stdout(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    fail("-", last_error());
  }
}

}  // namespace

void check_output(const std::string& path) {
  if (path == "-") return;
  if (path.empty()) fail(path, "the name is empty");
  const fs::path target = target_of(path);
  std::error_code ignored;
  if (fs::is_directory(target, ignored)) fail(path, "it is a directory");
  if (is_special(target)) {
    if (::access(target.c_str(), W_OK) != 0) fail(path, last_error());
    return;
  }
  const fs::path folder = folder_of(target);
  if (!fs::is_directory(folder, ignored)) {
    fail(path, "there is no directory '" + folder.string() + "'");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) fail(path, last_error());
  if (fs::exists(target, ignored) && ::access(target.c_str(), W_OK) != 0) fail(path, last_error());
}

void write_output(const std::string& path, const std::string& text) {
  if (path == "-") {
    write_stdout(text);
    return;
  }
  check_output(path);
  const fs::path target = target_of(path);
  const std::string content = path.ends_with(".gz") ? gzip(path, text) : text;
  if (is_special(target)) {
    if (!write_all(target, content)) fail(path, last_error());
    return;
  }
  fs::path beside = target;
  beside += ".part" + std::to_string(::getpid());
  std::error_code ignored;
  if (!write_all(beside, content)) {
    const std::string reason = last_error();
    fs::remove(beside, ignored);
    fail(path, reason);
  }
  std::error_code error;
  fs::rename(beside, target, error);
  if (error) {
    fs::remove(beside, ignored);
    fail(path, error.message());
  }
}

}  // namespace rehearse
