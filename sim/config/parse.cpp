#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/text_check.hpp"
#include "sim/config/value.hpp"

namespace rehearse {
namespace {

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxAliasNodes = 100'000;
constexpr std::size_t kMaxFileBytes = std::size_t{16} << 20;

// yaml-cpp counts from 0, and says -1 where it does not know.
Mark mark_at(const YAML::Mark& m, const std::string& file) {
  return m.is_null() ? Mark{file, 0, 0} : Mark{file, m.line + 1, m.column + 1};
}

// A value with what an alias to it would cost.
struct Subtree {
  Value value;
  std::size_t nodes = 1;
  std::size_t height = 1;
};

// Builds a Value from the parser's events. The event interface rather than YAML::Node, because it
// shows what a Node hides (duplicate keys, quotes) and lets an alias bomb be refused before it is
// expanded: an alias copies its subtree, whose size is known, so the copies are counted first.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& text, std::string file) : text_(text), file_(std::move(file)) {}

  bool has_document() const { return has_document_; }
  Value take_root() { return std::move(root_); }
  const Diagnostics& duplicates() const { return duplicates_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_document_) refuse_second_document(mark);
    has_document_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    finish({Value::null(mark_at(mark, file_))}, anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    // The parser tags what is quoted "!" and what is plain "?".
    const bool quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (tag == "!" && !quote_is_closed(text_, offset_of(mark))) {
      throw UserError(mark_at(mark, file_), "not valid YAML: this quote is never closed");
    }
    finish({Value::scalar(text, mark_at(mark, file_), quoted)}, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw UserError(mark_at(mark, file_), "an alias inside of what it stands for");
    }
    const Subtree& subtree = found->second;
    alias_nodes_ += subtree.nodes;
    if (alias_nodes_ > kMaxAliasNodes) {
      throw UserError(mark_at(mark, file_), "the aliases of this file expand to more than " +
                                                std::to_string(kMaxAliasNodes) + " values");
    }
    check_depth(mark, open_.size() + subtree.height);
    add(subtree);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, anchor, false);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, anchor, true);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that is not complete yet.
  struct Open {
    bool is_map = false;
    Mark mark;
    YAML::anchor_t anchor = YAML::NullAnchor;
    Value::List items;
    Value::Map entries;
    std::map<std::string, Mark> keys;
    std::vector<Value> merges;  // of "<<: *base"
    bool has_key = false;       // a map that waits for the value of `key`
    std::string key;
    Mark key_mark;
    bool key_is_merge = false;
    std::size_t nodes = 1;
    std::size_t height = 1;
  };

  // The parser counts bytes, without a byte order mark.
  std::size_t offset_of(const YAML::Mark& mark) const {
    return static_cast<std::size_t>(mark.pos) + (text_.starts_with("\xef\xbb\xbf") ? 3 : 0);
  }

  [[noreturn]] void refuse_second_document(const YAML::Mark& mark) const {
    if (text_.compare(offset_of(mark), 3, "---") == 0) {
      throw UserError(mark_at(mark, file_), "expected one document, and here a second one starts");
    }
    throw UserError(mark_at(mark, file_), "not valid YAML: this does not belong to what is above",
                    "check the indentation");
  }

  void check_depth(const YAML::Mark& mark, std::size_t depth) const {
    if (depth > kMaxDepth) {
      throw UserError(mark_at(mark, file_),
                      "nested more than " + std::to_string(kMaxDepth) + " levels deep");
    }
  }

  void open(const YAML::Mark& mark, YAML::anchor_t anchor, bool is_map) {
    check_depth(mark, open_.size() + 1);
    Open& added = open_.emplace_back();
    added.is_map = is_map;
    added.mark = mark_at(mark, file_);
    added.anchor = anchor;
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    for (const Value& merge : done.merges) apply_merge(done, merge);
    Subtree subtree{done.is_map ? Value::map(std::move(done.entries), std::move(done.mark))
                                : Value::list(std::move(done.items), std::move(done.mark)),
                    done.nodes, done.height};
    finish(std::move(subtree), done.anchor);
  }

  // YAML's merge key: what the map says itself wins, then earlier merges.
  void apply_merge(Open& into, const Value& from) const {
    if (from.is_list()) {
      for (const Value& item : from.as_list()) apply_merge(into, item);
      return;
    }
    if (!from.is_map()) throw UserError(from.key_mark(), "'<<' takes a mapping to merge");
    for (const auto& [key, value] : from.as_map()) {
      if (into.keys.emplace(key, value.key_mark()).second) into.entries.emplace_back(key, value);
    }
  }

  void finish(Subtree subtree, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = subtree;
    add(std::move(subtree));
  }

  void add(Subtree subtree) {
    if (open_.empty()) {
      root_ = std::move(subtree.value);
      return;
    }
    Open& parent = open_.back();
    parent.nodes += subtree.nodes;
    parent.height = std::max(parent.height, subtree.height + 1);
    if (!parent.is_map) {
      parent.items.push_back(std::move(subtree.value));
    } else if (!parent.has_key) {
      take_key(parent, subtree.value);
    } else {
      take_value(parent, std::move(subtree.value));
    }
  }

  static void take_key(Open& map, const Value& key) {
    if (!key.is_scalar()) {
      throw UserError(key.mark(), "a key must be a text",
                      key.is_map() ? "quote a text that starts with '{'" : "");
    }
    map.has_key = true;
    map.key = key.as_scalar().text;
    map.key_mark = key.mark();
    map.key_is_merge = map.key == "<<" && !key.as_scalar().quoted;
  }

  void take_value(Open& map, Value value) {
    map.has_key = false;
    value.set_key_mark(map.key_mark);
    if (map.key_is_merge) {
      map.merges.push_back(std::move(value));
      return;
    }
    const auto [first, is_new] = map.keys.emplace(map.key, map.key_mark);
    if (!is_new) {
      duplicates_.add(map.key_mark, "duplicate key '" + map.key + "'",
                      "first given at line " + std::to_string(first->second.line) + ", column " +
                          std::to_string(first->second.column));
      return;
    }
    map.entries.emplace_back(std::move(map.key), std::move(value));
  }

  const std::string& text_;
  std::string file_;
  Value root_;
  bool has_document_ = false;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Subtree> anchors_;
  std::size_t alias_nodes_ = 0;
  Diagnostics duplicates_;
};

// What usually causes the parser's complaint.
std::string likely_cause(const std::string& text, const YAML::Exception& e) {
  if (e.msg.find("EOF in scalar") != std::string::npos) return "is a quote left open?";
  if (e.mark.is_null()) return {};
  std::istringstream lines(text);
  std::string line;
  for (int i = 0; i <= e.mark.line; ++i) std::getline(lines, line);
  const std::size_t first = line.find_first_not_of(" \t");
  if (line.substr(0, first).find('\t') != std::string::npos) {
    return "a tab indents this line; YAML indents with spaces";
  }
  if (e.msg.find("illegal map value") != std::string::npos) {
    return "quote a text that contains ': '";
  }
  return {};
}

}  // namespace

Value parse_text(const std::string& text, const std::string& file) {
  check_is_text(text, file);
  TreeBuilder builder(text, file);
  std::istringstream in(text);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    Diagnostics all = builder.duplicates();
    all.add(mark_at(e.mark, file), "not valid YAML: " + e.msg, likely_cause(text, e));
    all.throw_if_any();
  }
  builder.duplicates().throw_if_any();
  if (!builder.has_document()) throw UserError(Mark{file, 0, 0}, "the file is empty");
  return builder.take_root();
}

Value parse_file(const std::string& path) {
  const Mark mark{path, 0, 0};
  std::error_code status;
  if (std::filesystem::is_directory(path, status)) {
    throw UserError(mark, "is a directory, not a file");
  }
  if (!std::filesystem::exists(path, status)) throw UserError(mark, "no such file");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw UserError(mark, "cannot be read");
  std::string text;
  std::array<char, 65536> block;
  do {
    in.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes) throw UserError(mark, "larger than 16 MiB");
  } while (in);
  if (in.bad()) throw UserError(mark, "cannot be read");
  return parse_text(text, path);
}

}  // namespace rehearse
