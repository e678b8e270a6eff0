#include "tools/cli/economics_options.hpp"

#include "sim/base/error.hpp"
#include "sim/base/units.hpp"

namespace rehearse {

void EconomicsOptions::add_to(CLI::App& sub) {
  sub.add_option("--tokens", tokens, "tells what training on so many tokens takes, such as 15T");
  sub.add_option("--price", price, "of a GPU-hour, instead of the cluster's price_per_gpu_hour")
      ->check(CLI::NonNegativeNumber);
}

double EconomicsOptions::training_tokens() const {
  if (tokens.empty()) return 0;
  try {
    return parse_quantity(tokens);
  } catch (const UnitError& e) {
    throw UserError({}, std::string("--tokens: ") + e.what());
  }
}

void EconomicsOptions::apply(RunReport& report) const {
  report.economics.training_tokens = training_tokens();
  if (price) report.economics.price_per_gpu_hour = *price;
}

}  // namespace rehearse
