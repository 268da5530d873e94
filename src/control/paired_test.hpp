// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "control/journal.hpp"

namespace polyphase {

// How often each validation sample is taken in a resample.
using Multiplicities = std::vector<std::int32_t>;

// Paired bootstrap (Efron and Tibshirani, 1993, chapter 8; for scores of language systems Koehn,
// 2004): draws as many samples as there are, with replacement, and asks for the gain of the round
// over its parent on them, positive when better. Draws are a function of the number of samples.
PairedTest paired_bootstrap(std::int64_t num_samples, std::int64_t num_resamples,
                            const std::function<double(const Multiplicities&)>& gain);

}  // namespace polyphase
