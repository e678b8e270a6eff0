#include "sim/config/value.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>

#include "tests/unit/temp_folder.hpp"

namespace rehearse {
namespace {

std::string complaint(const std::string& text) {
  try {
    parse_text(text, "f");
  } catch (const UserError& e) {
    return e.what();
  }
  return "accepted";
}

const std::string& text_at(const Value& v, const std::string& key) {
  return v.find(key)->as_scalar().text;
}

}  // namespace

TEST_CASE("a text becomes maps, lists and scalars in the file's order", "[value]") {
  const Value v = parse_text("b: 900 GB/s\na: [1, two, ~]\nc:\n  d: true\n", "f");
  REQUIRE(v.is_map());
  CHECK(v.as_map()[0].first == "b");
  CHECK(text_at(v, "b") == "900 GB/s");
  REQUIRE(v.find("a")->is_list());
  CHECK(v.find("a")->as_list()[1].as_scalar().text == "two");
  CHECK(v.find("a")->as_list()[2].is_null());
  CHECK(text_at(*v.find("c"), "d") == "true");
  CHECK(v.find("e") == nullptr);
}

TEST_CASE("marks count from one, of the value and of its key", "[value]") {
  const Value v = parse_text("a: 1\nbb:\n  c:  hello\n", "f.yaml");
  const Value& c = *v.find("bb")->find("c");
  CHECK(c.mark().file == "f.yaml");
  CHECK(c.mark().line == 3);
  CHECK(c.mark().column == 7);
  CHECK(c.key_mark().line == 3);
  CHECK(c.key_mark().column == 3);
  CHECK(v.find("bb")->key_mark().line == 2);
}

TEST_CASE("quotes are remembered", "[value]") {
  const Value v = parse_text("a: \"1\"\nb: 1\nc: '~'\nd: !!str 1's\n", "f");
  CHECK(v.find("a")->as_scalar().quoted);
  CHECK_FALSE(v.find("b")->as_scalar().quoted);
  CHECK(v.find("c")->as_scalar().quoted);
  CHECK(v.find("d")->as_scalar().quoted);
}

TEST_CASE("a Hugging Face config.json parses", "[value]") {
  const Value v = parse_text(
      "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"hidden_size\": 4096,\n"
      "  \"rope_scaling\": null,\n\t\"tie_word_embeddings\": false,\n  \"rms_norm_eps\": "
      "1e-05\n}\n",
      "config.json");
  CHECK(text_at(v, "hidden_size") == "4096");
  CHECK(text_at(v, "tie_word_embeddings") == "false");
  CHECK(text_at(v, "rms_norm_eps") == "1e-05");
  CHECK(v.find("rope_scaling")->is_null());
  CHECK(v.find("architectures")->as_list()[0].as_scalar().quoted);
}

TEST_CASE("all duplicate keys are reported, each with its first place", "[value]") {
  CHECK(complaint("a: 1\nb: {c: 1, c: 2}\na: 3\n") ==
        "f:2:11: error: duplicate key 'c' (first given at line 2, column 5)\n"
        "f:3:1: error: duplicate key 'a' (first given at line 1, column 1)");
}

TEST_CASE("the same key in different maps is no duplicate", "[value]") {
  CHECK(complaint("a: {x: 1}\nb: {x: 1}\n") == "accepted");
}

TEST_CASE("an alias stands for its anchor, and a merge key gives defaults", "[value]") {
  const Value v = parse_text("a: &x {p: 1, q: 2}\nb: *x\nc: {q: 3, <<: *x}\n", "f");
  CHECK(text_at(*v.find("b"), "q") == "2");
  CHECK(text_at(*v.find("c"), "p") == "1");
  CHECK(text_at(*v.find("c"), "q") == "3");
  CHECK(v.find("c")->find("<<") == nullptr);
}

TEST_CASE("an alias bomb is refused before it is expanded", "[value]") {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) text += below + ", ";
    text += below + "]\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  const std::string said = complaint(text);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  CHECK_THAT(said, Catch::Contains("the aliases of this file expand to more than 100000 values"));
  CHECK(took.count() < 2.0);
}

TEST_CASE("an alias inside of its own anchor is refused", "[value]") {
  CHECK_THAT(complaint("a: &x [1, *x]\n"), Catch::Contains("f:1:11: error: an alias inside of"));
}

TEST_CASE("deep nesting is refused", "[value]") {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK(complaint(nested(64)) == "accepted");
  CHECK(complaint(nested(65)) == "f:1:65: error: nested more than 64 levels deep");
  CHECK_THAT(complaint(nested(100'000)), Catch::Contains("nested more than 64"));
}

TEST_CASE("aliases cannot nest deeper than text can", "[value]") {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 80; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) +
            "]\n";
  }
  CHECK_THAT(complaint(text), Catch::Contains("nested more than 64"));
}

TEST_CASE("what is not YAML is refused with its place", "[value]") {
  CHECK_THAT(complaint("a:\n\tb: 1\n"),
             Catch::StartsWith("f:2:") && Catch::Contains("a tab indents this line"));
  CHECK_THAT(complaint("a: b: c\n"), Catch::StartsWith("f:1:5: error: not valid YAML"));
  CHECK_THAT(complaint("a: [1, 2\n"), Catch::Contains("not valid YAML"));
  CHECK_THAT(complaint("a: *nowhere\n"), Catch::StartsWith("f:1:"));
}

TEST_CASE("a quote left open is refused at the quote", "[value]") {
  const std::string said = "f:2:4: error: not valid YAML: this quote is never closed";
  CHECK(complaint("x: 'it''s'\nb: \"open\nc: 1\n") == said);
  CHECK(complaint("x: \"a\\\"\"\nb: 'open\nc: ''1\n") == said);
  CHECK(complaint("\xef\xbb\xbf"
                  "x: 1\nb: &anchor \"open\n") == said);
  CHECK_THAT(complaint("a: \"open"), Catch::Contains("is a quote left open?"));
  CHECK(complaint("a: |\n  it's \"open\n") == "accepted");
}

TEST_CASE("text after the end of the document is refused", "[value]") {
  CHECK_THAT(complaint(" a: 1\nb: 2\n"),
             Catch::StartsWith("f:2:1: error: not valid YAML: this does not belong"));
  CHECK_THAT(complaint("{a: 1}\ntrailing\n"), Catch::StartsWith("f:2:1: error: not valid"));
}

TEST_CASE("binary data is refused", "[value]") {
  CHECK_THAT(complaint(std::string("a: 1\nb\0c", 8)),
             Catch::StartsWith("f:2:2: error: not a text file"));
  CHECK_THAT(complaint("a: \xff\xfe"), Catch::StartsWith("f:1:4: error: not a text file"));
  CHECK(complaint("a: \u00b5s\n") == "accepted");
}

TEST_CASE("an empty text and a second document are refused", "[value]") {
  CHECK(complaint("") == "f: error: the file is empty");
  CHECK(complaint("# nothing\n") == "f: error: the file is empty");
  CHECK_THAT(complaint("a: 1\n---\nb: 2\n"),
             Catch::StartsWith("f:2:1: error: expected one document"));
  CHECK(complaint("---\na: 1\n...\n") == "accepted");
}

TEST_CASE("a key that is no text is refused", "[value]") {
  CHECK_THAT(complaint("{[1, 2]: 3}\n"), Catch::Contains("f:1:2: error: a key must be a text"));
}

TEST_CASE("files that cannot be read are refused", "[value]") {
  const TempFolder folder;
  CHECK_THROWS_WITH(parse_file(folder.path() + "/none.yaml"), Catch::Contains("no such file"));
  CHECK_THROWS_WITH(parse_file(folder.path()), Catch::Contains("is a directory"));
  CHECK_THROWS_WITH(parse_file(folder.write("e.yaml", "")), Catch::Contains("the file is empty"));
}

TEST_CASE("merging is deep for maps and replaces the rest", "[value]") {
  const Value base = parse_text("{a: {x: 1, y: 2}, b: [1, 2], c: 1}", "base");
  const Value over = parse_text("{a: {y: 3}, b: [9], d: 4}", "over");
  const Value v = merged(base, over);
  CHECK(text_at(*v.find("a"), "x") == "1");
  CHECK(text_at(*v.find("a"), "y") == "3");
  CHECK(v.find("a")->find("y")->mark().file == "over");
  CHECK(v.find("b")->as_list().size() == 1);
  CHECK(text_at(v, "c") == "1");
  CHECK(text_at(v, "d") == "4");
  CHECK(v.mark().file == "base");
}

TEST_CASE("a dotted path is set, with maps made on the way", "[value]") {
  Value v = parse_text("{a: {x: 1}, n: ~}", "f");
  v.set_path("a.x", Value::scalar("2"));
  v.set_path("b.c.d", Value::scalar("3"));
  v.set_path("n.m", Value::scalar("4"));
  CHECK(text_at(*v.find("a"), "x") == "2");
  CHECK(text_at(*v.find("b")->find("c"), "d") == "3");
  CHECK(text_at(*v.find("n"), "m") == "4");
}

TEST_CASE("a dotted path cannot run through a scalar or list", "[value]") {
  Value v = parse_text("{a: 1, b: [1]}", "f");
  CHECK_THROWS_WITH(v.set_path("a.x", Value::scalar("2")),
                    Catch::Contains("cannot set 'a.x': 'a' is a value, not a mapping"));
  CHECK_THROWS_WITH(v.set_path("b.x", Value::scalar("2")), Catch::Contains("'b' is a list"));
  CHECK_THROWS_AS(v.set_path("a..x", Value::scalar("2")), UserError);
  CHECK_THROWS_AS(v.set_path("", Value::scalar("2")), UserError);
}

TEST_CASE("a key is erased", "[value]") {
  Value v = parse_text("{a: 1, b: 2}", "f");
  v.erase("a");
  CHECK(v.find("a") == nullptr);
  CHECK(text_at(v, "b") == "2");
}

}  // namespace rehearse
