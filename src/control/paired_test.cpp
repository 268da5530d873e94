// SPDX-License-Identifier: Apache-2.0
#include "control/paired_test.hpp"

#include "base/philox.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kBootstrapKey = 0x626F6F7473747261ULL;

}  // namespace

PairedTest paired_bootstrap(std::int64_t num_samples, std::int64_t num_resamples,
                            const std::function<double(const Multiplicities&)>& gain) {
  std::int64_t num_better = 0;
  for (std::int64_t resample = 0; resample < num_resamples; ++resample) {
    Multiplicities times(static_cast<std::size_t>(num_samples));
    for (std::int64_t draw = 0; draw < num_samples; ++draw) {
      const PhiloxWords words = philox(kBootstrapKey, static_cast<std::uint64_t>(resample),
                                       static_cast<std::uint64_t>(draw));
      // A 32-bit word times the count, of which the upper half is uniform below the count.
      const std::uint64_t scaled =
          std::uint64_t{words.word[0]} * static_cast<std::uint64_t>(num_samples);
      ++times[scaled >> 32];
    }
    if (gain(times) > 0) ++num_better;
  }
  return {.num_samples = num_samples,
          .num_resamples = num_resamples,
          .share_better = num_resamples == 0 ? 0.0
                                             : static_cast<double>(num_better) /
                                                   static_cast<double>(num_resamples)};
}

}  // namespace polyphase
