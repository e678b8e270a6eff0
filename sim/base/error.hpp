#pragma once

#include <exception>
#include <string>
#include <vector>

namespace rehearse {

// A place in a user's text. Lines and columns count from 1; line 0 means the whole file, and an
// empty file name means the command line.
struct Mark {
  std::string file;
  int line = 0;
  int column = 0;
};

// One mistake of a user: where, what is wrong, and what would be right.
struct Diagnostic {
  Mark mark;
  std::string message;  // says the offending text and the reason
  std::string hint;     // "did you mean 'llama3-8b'?"; may be empty
  // Wrong whatever other keys say: an unknown key or name, a missing one, a wrong type. Else it may
  // be a matter of how keys go together.
  bool form = false;
};

// Thrown for a user's mistakes, all of a file at once. Exit code 2. what() is the printable text:
// one "file:line:column: error: message (hint)" a line.
class UserError : public std::exception {
 public:
  explicit UserError(std::vector<Diagnostic> diagnostics);
  UserError(Mark mark, std::string message, std::string hint = {});
  const char* what() const noexcept override { return text_.c_str(); }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
  std::string text_;
};

// Gathers mistakes so that a file's are reported together. The same mistake at the same place is
// kept once: plans that share a section would otherwise repeat it.
class Diagnostics {
 public:
  void add(Mark mark, std::string message, std::string hint = {});
  void add(Diagnostic d);
  void add(const UserError& e);
  // What `read` returns; its mistakes are gathered, and then there is nothing.
  template <class Read>
  auto gather(const Read& read) -> decltype(read()) {
    try {
      return read();
    } catch (const UserError& e) {
      add(e);
      return decltype(read())();
    }
  }
  bool empty() const { return list_.empty(); }
  // Throws UserError when anything was added.
  void throw_if_any() const;

 private:
  std::vector<Diagnostic> list_;
};

}  // namespace rehearse
