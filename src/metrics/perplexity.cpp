// SPDX-License-Identifier: Apache-2.0
#include "metrics/perplexity.hpp"

#include <cmath>
#include <numbers>

#include "base/error.hpp"

namespace polyphase {
namespace {

double nats_a_unit(double sum_nats, std::int64_t num_units) {
  POLYPHASE_PROMISE(num_units > 0, "{} nats over {} units", sum_nats, num_units);
  return sum_nats / static_cast<double>(num_units);
}

}  // namespace

double perplexity(double sum_nats, std::int64_t num_tokens) {
  return std::exp(nats_a_unit(sum_nats, num_tokens));
}

double word_perplexity(double sum_nats, std::int64_t num_words) {
  return std::exp(nats_a_unit(sum_nats, num_words));
}

double bits_per_byte(double sum_nats, std::int64_t num_bytes) {
  return nats_a_unit(sum_nats, num_bytes) / std::numbers::ln2;
}

}  // namespace polyphase
