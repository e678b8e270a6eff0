// nccl-tests' all_reduce on 2 to 32 hosts of AWS (calibration/nccl/aws_p5.all_reduce.csv) beside
// the shipped cluster's prices. The network's few constants were fitted to these rows by
// calibration/nccl/fit_efa.py, which has the errors of hosts and sizes left out; this says that the
// simulator computes what the fit did.

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "hardware/cluster.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {
namespace {

TEST_CASE("all_reduces over EFA take what was measured on p5 hosts") {
  const Cluster c = read_cluster(resolve("clusters", Value::scalar("aws-p5")));
  std::ifstream file(std::string(REHEARSE_SOURCE_DIR) + "/calibration/nccl/aws_p5.all_reduce.csv");
  REQUIRE(file);
  std::string line;
  std::getline(file, line);
  double sum = 0;
  double sum_from_256_mib = 0;
  int rows = 0;
  int rows_from_256_mib = 0;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    int nodes = 0;
    long long bytes = 0;
    double out = 0;
    double in = 0;
    char comma = ',';
    fields >> nodes >> comma >> bytes >> comma >> out >> comma >> in;
    REQUIRE(fields);
    const CommGroup all{8 * nodes, nodes, 8, 1};
    const double predicted =
        price_collective(c, CollectiveOp::kAllReduce, Bytes(bytes), all).time.value;
    const double error = predicted / (static_cast<double>(bytes) / (0.5e9 * (out + in))) - 1;
    INFO(line << ": predicted " << 1e6 * predicted << " us");
    CHECK(std::abs(error) < 0.15);
    sum += std::abs(error);
    ++rows;
    if (bytes >= 256LL << 20) {
      sum_from_256_mib += std::abs(error);
      ++rows_from_256_mib;
    }
  }
  CHECK(rows == 45);
  CHECK(sum / rows < 0.045);
  CHECK(sum_from_256_mib / rows_from_256_mib < 0.04);
}

}  // namespace
}  // namespace rehearse
