#include "sim/config/catalog.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/temp_folder.hpp"

namespace rehearse {
namespace {

Value parsed(const std::string& text, const std::string& file = "scenario.yaml") {
  return parse_text(text, file);
}

const std::string& text_at(const Value& v, const std::string& key) {
  return v.find(key)->as_scalar().text;
}

}  // namespace

TEST_CASE("REHEARSE_CONFIGS says where the catalog is", "[catalog]") {
  const TempCatalog catalog;
  CHECK(configs_directory() == catalog.path());
}

TEST_CASE("the names of a kind are sorted, and only data files count", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("models/b.yaml", "x: 1");
  catalog.write("models/a.json", "{}");
  catalog.write("models/b.json", "{}");
  catalog.write("models/README.md", "text");
  CHECK(catalog_names("models") == std::vector<std::string>{"a", "b"});
  CHECK(catalog_names("gpus").empty());
}

TEST_CASE("a name takes the catalog's file and keeps the name", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("models/llama.yaml", "name: something else\nhidden_size: 8\n");
  const Value v = resolve("models", parsed("llama"));
  CHECK(text_at(v, "name") == "llama");
  CHECK(text_at(v, "hidden_size") == "8");
  CHECK(v.find("hidden_size")->mark().line == 2);
}

TEST_CASE("an unknown name is reported where it stands, with the nearest", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("models/llama3-8b.yaml", "x: 1");
  catalog.write("models/gpt2.yaml", "x: 1");
  const Value scenario = parsed("a: 1\nmodel: llama3-8\n");
  CHECK_THROWS_WITH(resolve("models", *scenario.find("model")),
                    "scenario.yaml:2:8: error: unknown model 'llama3-8' "
                    "(did you mean 'llama3-8b'?)");
  CHECK_THROWS_WITH(resolve("gpus", parsed("h100")),
                    Catch::Contains("unknown gpu 'h100' (there are none in"));
}

TEST_CASE("a path is relative to the file that says it, then to the working directory",
          "[catalog]") {
  const TempCatalog catalog;
  const std::string scenario = catalog.write("project/scenario.yaml", "model: ./mine.yaml\n");
  catalog.write("project/mine.yaml", "hidden_size: 8\n");
  const Value v = resolve("models", *parse_file(scenario).find("model"));
  CHECK(text_at(v, "hidden_size") == "8");
  CHECK(text_at(v, "name") == "mine");

  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(catalog.path() + "/project");
  CHECK(text_at(resolve("models", parsed("mine.yaml", "/elsewhere/f.yaml")), "hidden_size") == "8");
  CHECK(text_at(resolve("models", Value::scalar("mine.yaml", {"--set", 0, 0})), "name") == "mine");
  std::filesystem::current_path(before);
}

TEST_CASE("a file at a path keeps the name that it gives itself", "[catalog]") {
  const TempFolder folder;
  const std::string path = folder.write("m.yaml", "name: Mine\nx: 1\n");
  CHECK(text_at(resolve("models", Value::scalar(path)), "name") == "Mine");
}

TEST_CASE("a missing path is reported where it stands", "[catalog]") {
  const Value scenario = parsed("model: ./none.yaml\n");
  CHECK_THROWS_WITH(resolve("models", *scenario.find("model")),
                    "scenario.yaml:1:8: error: model: no such file './none.yaml'");
}

TEST_CASE("a Hugging Face checkout serves as a model", "[catalog]") {
  const TempFolder folder;
  folder.write("Llama-3.1-8B/config.json", "{\"hidden_size\": 4096, \"rope_scaling\": null}");
  const Value by_file =
      resolve("models", Value::scalar(folder.path() + "/Llama-3.1-8B/config.json"));
  CHECK(text_at(by_file, "name") == "config");
  CHECK(text_at(by_file, "hidden_size") == "4096");
  CHECK(text_at(resolve("models", Value::scalar(folder.path() + "/Llama-3.1-8B")), "name") ==
        "Llama-3.1-8B");
  CHECK(text_at(resolve("models", Value::scalar(folder.path() + "/Llama-3.1-8B/")), "name") ==
        "Llama-3.1-8B");
}

TEST_CASE("a mapping with a name overrides that file deeply", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("clusters/dgx.yaml",
                "gpu: a100\nnodes: 1\ninter_node: {nics_per_node: 8, latency: 3 us}\n");
  const Value v =
      resolve("clusters", parsed("{name: dgx, nodes: 64, inter_node: {nics_per_node: 4}}"));
  CHECK(text_at(v, "name") == "dgx");
  CHECK(text_at(v, "gpu") == "a100");
  CHECK(text_at(v, "nodes") == "64");
  CHECK(text_at(*v.find("inter_node"), "nics_per_node") == "4");
  CHECK(text_at(*v.find("inter_node"), "latency") == "3 us");
}

TEST_CASE("overriding a field of a cluster's GPU keeps which GPU it is", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("clusters/dgx.yaml", "gpu: a100\n");
  const Value v = resolve("clusters", parsed("{name: dgx, gpu: {memory: 60 GB}}"));
  CHECK(text_at(*v.find("gpu"), "name") == "a100");
  CHECK(text_at(*v.find("gpu"), "memory") == "60 GB");
  CHECK(text_at(resolve("clusters", parsed("{name: dgx, gpu: h100}")), "gpu") == "h100");
}

TEST_CASE("a mapping without a name is inline", "[catalog]") {
  CHECK(text_at(resolve("models", parsed("{hidden_size: 8}")), "name") == "inline");
}

TEST_CASE("resolving what is resolved changes nothing", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("models/llama.yaml", "hidden_size: 8\n");
  const Value once = resolve("models", parsed("{name: llama, hidden_size: 9}"));
  CHECK(text_at(resolve("models", once), "hidden_size") == "9");
  const Value inline_once = resolve("models", parsed("{hidden_size: 8}"));
  CHECK(text_at(resolve("models", inline_once), "name") == "inline");
}

TEST_CASE("a file that is not a mapping is refused", "[catalog]") {
  const TempCatalog catalog;
  catalog.write("models/list.yaml", "[1, 2]\n");
  CHECK_THROWS_WITH(resolve("models", parsed("list")),
                    Catch::Contains("list.yaml:1:1: error: expected a model: a mapping"));
  CHECK_THROWS_WITH(resolve("models", parsed("[a, b]")),
                    Catch::Contains("model: expected a name, a path or a mapping"));
}

}  // namespace rehearse
