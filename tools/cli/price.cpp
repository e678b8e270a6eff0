// `rehearse price`: one kernel or collective on its own, device time.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/base/format.hpp"
#include "sim/base/suggest.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/price/csv.hpp"
#include "tools/cli/price/operators.hpp"

namespace rehearse {
namespace {

struct PriceOptions {
  std::string operator_name;
  std::vector<std::string> pairs;
  std::string csv;
  bool ideal = false;
  bool json = false;
};

constexpr const char* kOperatorColumn = "operator";

bool knows(const PriceOperator& op, const std::string& key) {
  return std::any_of(op.keys.begin(), op.keys.end(),
                     [&](const PriceKey& known) { return known.name == key; });
}

// Puts the pairs of the command line in; an unknown key is an error when `op` is known.
void read_pairs(const PriceOptions& options, const PriceOperator* op, PriceArguments& arguments,
                Diagnostics& diagnostics) {
  for (const std::string& pair : options.pairs) {
    const std::size_t equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    if (equals == std::string::npos || equals + 1 == pair.size()) {
      diagnostics.add({}, fmt::format("'{}' must be key=value", pair));
      continue;
    }
    if (op && !knows(*op, key)) {
      std::vector<std::string> names;
      for (const PriceKey& known : op->keys) names.emplace_back(known.name);
      diagnostics.add({}, fmt::format("{} has no key '{}'", op->name, key), suggestion(key, names));
      continue;
    }
    arguments.set(key, pair.substr(equals + 1));
  }
}

void print_text(const PriceOperator& op, const Priced& priced) {
  std::string out = fmt::format("{:<30} {}\n", op.name, format_seconds(priced.time));
  for (const PriceFact& fact : priced.facts) {
    if (fact.key == "nodes") continue;  // said with the ranks
    out += fmt::format("  {:<28} {}\n", fact.label, fact.text);
  }
  fmt::print("{}", out);
}

void print_json(const PriceOperator& op, const Priced& priced) {
  nlohmann::ordered_json out;
  out["schema"] = "rehearse.price/1";
  out["operator"] = op.name;
  out["time_s"] = priced.time.value;
  for (const PriceFact& fact : priced.facts) out[fact.key] = fact.value;
  fmt::print("{}\n", out.dump(2));
}

int price_one(const PriceOptions& options) {
  if (options.operator_name.empty()) {
    throw UserError({}, "which operator?", suggestion("", price_operator_names()));
  }
  const PriceOperator& op = find_price_operator(options.operator_name);
  Diagnostics diagnostics;
  PriceArguments arguments(diagnostics);
  PriceMachines machines(options.ideal);
  read_pairs(options, &op, arguments, diagnostics);
  const Priced priced = op.price(op.name, arguments, machines, true);
  diagnostics.throw_if_any();
  options.json ? print_json(op, priced) : print_text(op, priced);
  return kExitDone;
}

// Every row of a file: columns that are keys are read, the others passed through. What the command
// line gives holds for all rows, and a column `operator` names each row's.
int price_csv(const PriceOptions& options) {
  if (options.json) throw UserError({}, "--json prices one operator; --csv prints CSV");
  const Csv csv = read_csv(options.csv);
  const PriceOperator* common =
      options.operator_name.empty() ? nullptr : &find_price_operator(options.operator_name);
  const auto column = std::find(csv.columns.begin(), csv.columns.end(), kOperatorColumn);
  if (!common && column == csv.columns.end()) {
    throw UserError({csv.file, 1, 1}, "no operator on the command line and no column 'operator'");
  }
  Diagnostics diagnostics;
  PriceMachines machines(options.ideal);
  {
    PriceArguments checked(diagnostics);
    read_pairs(options, common, checked, diagnostics);
    diagnostics.throw_if_any();
  }
  std::string out = fmt::format("{},predicted_us\n", fmt::join(csv.columns, ","));
  for (const Csv::Row& row : csv.rows) {
    const Mark mark{csv.file, row.line, 1};
    const PriceOperator* op = common;
    if (!op) {
      op = &find_price_operator(row.cells[static_cast<std::size_t>(column - csv.columns.begin())],
                                mark);
    }
    PriceArguments arguments(diagnostics, mark);
    read_pairs(options, nullptr, arguments, diagnostics);
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      if (!row.cells[i].empty() && knows(*op, csv.columns[i])) {
        arguments.set(csv.columns[i], row.cells[i], mark);
      }
      out += csv_cell(row.cells[i]) + ',';
    }
    const Priced priced = op->price(op->name, arguments, machines, false);
    out += fmt::format("{:.6g}\n", priced.time.value * 1e6);
    // The rows after a bad one are mostly bad for the same reason.
    diagnostics.throw_if_any();
  }
  fmt::print("{}", out);
  return kExitDone;
}

std::string footer() {
  std::string out = "Operators and their keys (* required):\n";
  for (const PriceOperator& op : price_operators()) {
    out += fmt::format("  {:<16}{}\n", op.name, op.summary);
    // The collectives share their keys: once, under the last.
    if (&op != &price_operators().back() && (&op + 1)->keys.data() == op.keys.data()) continue;
    for (const PriceKey& key : op.keys) {
      out += fmt::format("      {:<12}{} {}\n", key.name, key.required ? '*' : ' ', key.help);
    }
  }
  return out;
}

}  // namespace

void setup_price(CLI::App& sub, std::function<int()>& action) {
  const auto options = std::make_shared<PriceOptions>();
  sub.add_option("operator", options->operator_name, "gemm, attention, copy or a collective");
  sub.add_option("pairs", options->pairs, "key=value ...")->allow_extra_args();
  sub.add_option("--csv", options->csv,
                 "price every row of FILE, whose columns are keys; adds a column predicted_us")
      ->type_name("FILE");
  sub.add_flag("--ideal", options->ideal, "efficiency 1, no fixed cost, links as stated");
  sub.add_flag("--json", options->json, "print JSON");
  sub.footer(footer);
  action = [options] {
    // `price --csv f gpu=...` with a column `operator`: the first pair stands where it would.
    if (options->operator_name.find('=') != std::string::npos) {
      options->pairs.insert(options->pairs.begin(), options->operator_name);
      options->operator_name.clear();
    }
    return options->csv.empty() ? price_one(*options) : price_csv(*options);
  };
}

}  // namespace rehearse
