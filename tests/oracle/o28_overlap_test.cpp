#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O28. Data parallelism that reduces gradients bucket by bucket while backward goes on. With K
// equal buckets the i-th is there Tf + i Tb/K after the start and takes Tar/K. When reductions are
// the slower they follow each other without a gap from the first bucket on, T = Tf + Tb/K + Tar;
// when backward is, only the last is left over, T = Tf + Tb + Tar/K. So
//   T = Tf + max(Tb/K + Tar, Tb + Tar/K),
// in the limit of small buckets Tf + max(Tb, Tar), and Tf + Tb + Tar without overlap.
//
// The buckets here are equal to the byte. In reverse order the parameters are: the final norm (h),
// then for each layer down, gate and up, norm, o, qkv, norm: 7 h^2 + 2 h, the last h of them the
// first norm's. A bucket of 7 h^2 + 2 h elements is full one norm before its layer is, so it ends
// with the layer's last product and starts with the norm above. One norm and the table's one row
// are left over: 2 h elements in a bucket of their own, after all others.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kHidden = 64, kRanks = 4;
constexpr std::int64_t kBucketBytes = 2 * (7 * kHidden * kHidden + 2 * kHidden);
// Ring all-reduce: 2 (n-1)/n bytes over 86.4 GB/s. A bucket takes 1 us.
constexpr std::int64_t kReducePs = 1'000'000;
constexpr std::int64_t kRestPs = 4'444;  // 2 (n-1)/n 4 h / 86.4 GB/s = 4444.4 ps
static_assert(kBucketBytes * 2 * (kRanks - 1) * 10'000 == kRanks * 864 * kReducePs);

Retimed run(int layers, SimTime tf, SimTime tb, const char* sync) {
  Ideal ideal;
  ideal.model = tiny_model(layers, kHidden);
  ideal.gpus = kRanks;
  ideal.link = "bandwidth: 86.4 GB/s, latency: 0 us";
  ideal.training = micro_batches(1, kRanks);
  ideal.plan = fmt::format("gradient_sync: {}, bucket_size: {} B", sync, kBucketBytes);
  ideal.runtime = "{name: pytorch-eager, behaviour: {first_bucket: 0 B}}";
  return Retimed(ideal, tf, tb);
}

}  // namespace

TEST_CASE("o28: K equal buckets") {
  const SimTime tf(700'000);
  for (const int k : {1, 2, 8, 32})
    for (const std::int64_t tb : {100'000, 999'999, 1'000'000, 1'000'001, 1'400'000, 3'000'000}) {
      const std::int64_t backward = k * tb, reduce = k * kReducePs;
      const Retimed r = run(k, tf, SimTime(tb), "overlap");
      CAPTURE(k, tb);
      CHECK(r.step.ps == k * tf.ps + std::max(tb + reduce, backward + kReducePs) + kRestPs);
      CHECK(r.parts.compute.ps == k * tf.ps + backward);
      CHECK(r.parts.exposed_communication.ps == r.step.ps - r.parts.compute.ps);
    }
}

TEST_CASE("o28: many small buckets hide whichever is shorter") {
  const int k = 256;
  for (const std::int64_t tb : {500'000, 2'000'000}) {
    const Retimed r = run(k, SimTime(1'000'000), SimTime(tb), "overlap");
    const double limit = k * (1e6 + std::max(1e6, static_cast<double>(tb)));
    CHECK(static_cast<double>(r.step.ps) == Approx(limit).epsilon(1.0 / k));
    CHECK(static_cast<double>(r.step.ps) > limit);
  }
}

// Parameter by parameter: 6 L + 2 reductions, each rounded to a picosecond.
TEST_CASE("o28: without overlap everything follows in turn") {
  const int k = 8;
  const Retimed r = run(k, SimTime(700'000), SimTime(1'400'000), "end");
  const std::int64_t serial = k * (700'000 + 1'400'000 + kReducePs) + kRestPs;
  CHECK(std::abs(r.step.ps - serial) <= (6 * k + 2) / 2 + 1);
}
