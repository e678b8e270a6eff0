#include "sim/base/error.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace rehearse {

TEST_CASE("an error prints its place, reason and hint", "[error]") {
  const UserError e(Mark{"a.yaml", 3, 5}, "unknown key 'x'", "did you mean 'y'?");
  CHECK(std::string(e.what()) == "a.yaml:3:5: error: unknown key 'x' (did you mean 'y'?)");
}

TEST_CASE("an error of a whole file has no line, one of the command line no file", "[error]") {
  CHECK(std::string(UserError(Mark{"a.yaml", 0, 0}, "empty").what()) == "a.yaml: error: empty");
  CHECK(std::string(UserError(Mark{}, "unknown scenario").what()) == "error: unknown scenario");
}

TEST_CASE("all mistakes are thrown together, in order", "[error]") {
  Diagnostics d;
  CHECK(d.empty());
  d.throw_if_any();
  d.add(Mark{"a.yaml", 2, 1}, "second line");
  d.add(UserError(Mark{"a.yaml", 1, 1}, "first line"));
  CHECK_FALSE(d.empty());
  try {
    d.throw_if_any();
    FAIL("nothing was thrown");
  } catch (const UserError& e) {
    CHECK(e.diagnostics().size() == 2);
    CHECK(std::string(e.what()) == "a.yaml:2:1: error: second line\na.yaml:1:1: error: first line");
  }
}

TEST_CASE("the same mistake at the same place is kept once", "[error]") {
  Diagnostics d;
  d.add(Mark{"a.yaml", 2, 1}, "twice");
  d.add(Mark{"a.yaml", 2, 1}, "twice");
  d.add(Mark{"a.yaml", 2, 2}, "twice");
  try {
    d.throw_if_any();
    FAIL("nothing was thrown");
  } catch (const UserError& e) {
    CHECK(e.diagnostics().size() == 2);
  }
}

}  // namespace rehearse
