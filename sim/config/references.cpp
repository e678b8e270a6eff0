#include "sim/config/references.hpp"

namespace rehearse {

Value References::resolve(const std::string& kind, const Value& field) {
  const std::string key = kind + "\n" + field.mark().file + "\n" + canonical_text(field);
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  return known_.emplace(key, rehearse::resolve(kind, field)).first->second;
}

Resolver References::resolver() {
  return [this](const std::string& kind, const Value& field) { return resolve(kind, field); };
}

}  // namespace rehearse
