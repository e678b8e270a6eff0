#include "sim/base/suggest.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace rehearse {
namespace {

const std::vector<std::string> kKeys{"tensor_parallel", "pipeline_parallel", "zero_stage"};

}  // namespace

TEST_CASE("a misspelling finds its name", "[suggest]") {
  CHECK(nearest_name("tensor_paralel", kKeys) == "tensor_parallel");    // deletion
  CHECK(nearest_name("tennsor_parallel", kKeys) == "tensor_parallel");  // insertion
  CHECK(nearest_name("zero_stags", kKeys) == "zero_stage");             // substitution
  CHECK(nearest_name("zreo_stage", kKeys) == "zero_stage");             // swap
}

TEST_CASE("case, hyphens and underscores do not count", "[suggest]") {
  CHECK(nearest_name("Zero-Stage", kKeys) == "zero_stage");
  CHECK(nearest_name("zerostage", kKeys) == "zero_stage");
}

TEST_CASE("a swap is one mistake, not two", "[suggest]") {
  // Four letters allow one mistake: ab -> ba is one, two substitutions would be two.
  const std::vector<std::string> names{"abcd"};
  CHECK(nearest_name("bacd", names) == "abcd");
  CHECK(nearest_name("xycd", names).empty());
}

TEST_CASE("what differs in more than a third of its letters is not near", "[suggest]") {
  const std::vector<std::string> names{"abcdef"};
  CHECK(nearest_name("abcdxy", names) == "abcdef");
  CHECK(nearest_name("abcxyz", names).empty());
}

TEST_CASE("the first of equally near names is taken", "[suggest]") {
  const std::vector<std::string> names{"llama3-8b", "llama3-7b"};
  CHECK(nearest_name("llama3-9b", names) == "llama3-8b");
  CHECK(nearest_name("llama3-7b", names) == "llama3-7b");
}

TEST_CASE("a suggestion names the nearest, or all when they are few", "[suggest]") {
  CHECK(suggestion("zero_stag", kKeys) == "did you mean 'zero_stage'?");
  CHECK(suggestion("offload", kKeys) == "one of tensor_parallel, pipeline_parallel, zero_stage");
  CHECK(suggestion("offload", std::vector<std::string>{"name"}) == "only name");
  CHECK(suggestion("offload", std::vector<std::string>{}).empty());
  const std::vector<std::string> many(13, "a_long_name_of_a_key");
  CHECK(suggestion("offload", many).empty());
}

}  // namespace rehearse
