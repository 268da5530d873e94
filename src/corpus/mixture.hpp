// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace polyphase {

// How many of every block of samples come from each corpus: shares of kMixtureBlock samples by
// weight, rounded to whole numbers by largest remainder (of equal ones the earlier corpus'), and
// divided by their greatest common divisor: {3, 1} for weights of 3 and 1. A corpus may get none.
inline constexpr std::int64_t kMixtureBlock = 1000;
std::vector<std::int64_t> mixture_quotas(const std::vector<double>& weights);

// Weights times size^(1/temperature), sizes in samples: at 1 every sample of a corpus counts, at
// high temperatures every corpus counts alike (Devlin et al., multilingual BERT, with exponent 0.7;
// Arivazhagan et al., 2019, section 4.2; Raffel et al., 2020, section 3.5.2). Without a temperature
// the weights as they are.
std::vector<double> tempered_weights(std::vector<double> weights,
                                     const std::vector<std::int64_t>& sizes,
                                     const std::optional<double>& temperature);

// Deals the global samples of a phase out to corpora. Sample g lies in block g / B of B = the sum
// of quotas; every block holds each corpus' quota in a keyed order of its own. So the corpus of g,
// and how many of the samples before g were of it, are functions of (seed, phase, g).
class Mixture {
 public:
  Mixture(std::vector<std::int64_t> quotas, std::uint64_t seed, std::uint64_t phase);

  struct Place {
    std::size_t corpus = 0;
    std::int64_t index = 0;  // samples of this corpus before
  };
  Place at(std::int64_t global_sample);

  const std::vector<std::int64_t>& quotas() const { return quotas_; }

 private:
  void lay_out(std::int64_t block);

  std::vector<std::int64_t> quotas_;
  std::int64_t block_size_;
  std::uint64_t seed_, phase_;
  std::int64_t block_ = -1;    // the one that was looked at last
  std::vector<Place> places_;  // its samples; indices within the block
};

}  // namespace polyphase
