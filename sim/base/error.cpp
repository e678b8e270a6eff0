#include "sim/base/error.hpp"

#include <utility>

namespace rehearse {
namespace {

std::string line_of(const Diagnostic& d) {
  std::string s;
  if (!d.mark.file.empty()) {
    s += d.mark.file + ":";
    if (d.mark.line > 0) {
      s += std::to_string(d.mark.line) + ":";
      if (d.mark.column > 0) s += std::to_string(d.mark.column) + ":";
    }
    s += " ";
  }
  s += "error: " + d.message;
  if (!d.hint.empty()) s += " (" + d.hint + ")";
  return s;
}

bool same(const Diagnostic& a, const Diagnostic& b) {
  return a.mark.line == b.mark.line && a.mark.column == b.mark.column && a.message == b.message &&
         a.mark.file == b.mark.file;
}

}  // namespace

UserError::UserError(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
  for (const Diagnostic& d : diagnostics_) {
    if (!text_.empty()) text_ += "\n";
    text_ += line_of(d);
  }
}

UserError::UserError(Mark mark, std::string message, std::string hint)
    : UserError(std::vector<Diagnostic>{
          Diagnostic{std::move(mark), std::move(message), std::move(hint)}}) {}

void Diagnostics::add(Mark mark, std::string message, std::string hint) {
  add(Diagnostic{std::move(mark), std::move(message), std::move(hint)});
}

void Diagnostics::add(Diagnostic d) {
  for (const Diagnostic& known : list_) {
    if (same(known, d)) return;
  }
  list_.push_back(std::move(d));
}

void Diagnostics::add(const UserError& e) {
  for (const Diagnostic& d : e.diagnostics()) add(d);
}

void Diagnostics::throw_if_any() const {
  if (!list_.empty()) throw UserError(list_);
}

}  // namespace rehearse
