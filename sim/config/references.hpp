#pragma once

#include <map>
#include <mutex>
#include <string>

#include "sim/config/scenario.hpp"

namespace rehearse {

// resolve() that reads each distinct reference once, for scenarios that differ in little. The same
// reference gives the same tree, and so the same Value::identity(): what is read from the trees can
// be kept by it. Threads may share one; it outlives its resolver().
class References {
 public:
  Value resolve(const std::string& kind, const Value& field);
  Resolver resolver();

 private:
  std::mutex mutex_;
  // By kind, the file that says it (paths are relative to it) and what it says.
  std::map<std::string, Value> known_;
};

}  // namespace rehearse
