#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace rehearse {

// A folder of files for one test, gone when the test ends.
class TempFolder {
 public:
  TempFolder() {
    static std::atomic<int> count{0};
    path_ = std::filesystem::temp_directory_path() /
            ("rehearse_test_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code status;
    std::filesystem::remove_all(path_, status);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  // Writes a file, and returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// A folder that serves as the catalog for as long as it lives.
class TempCatalog : public TempFolder {
 public:
  TempCatalog() {
    if (const char* before = std::getenv("REHEARSE_CONFIGS")) before_ = before;
    setenv("REHEARSE_CONFIGS", path().c_str(), 1);
  }
  ~TempCatalog() {
    if (before_.empty()) {
      unsetenv("REHEARSE_CONFIGS");
    } else {
      setenv("REHEARSE_CONFIGS", before_.c_str(), 1);
    }
  }
  TempCatalog(const TempCatalog&) = delete;
  TempCatalog& operator=(const TempCatalog&) = delete;

 private:
  std::string before_;
};

}  // namespace rehearse
