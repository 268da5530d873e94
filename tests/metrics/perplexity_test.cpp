// SPDX-License-Identifier: Apache-2.0
#include "metrics/perplexity.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

TEST(Perplexity, NumbersAreThoseOfTheFormulas) {
  for (const nlohmann::json& reference : reference_numbers("perplexity")) {
    const double nats = reference.at("nats");
    expect_same_digits(perplexity(nats, reference.at("tokens")), reference.at("perplexity"),
                       "tokens");
    expect_same_digits(word_perplexity(nats, reference.at("words")),
                       reference.at("word_perplexity"), "words");
    expect_same_digits(bits_per_byte(nats, reference.at("bytes")), reference.at("bits_per_byte"),
                       "bytes");
  }
}

TEST(Perplexity, OfAUniformModelIsItsNumberOfChoices) {
  EXPECT_NEAR(perplexity(10 * std::log(50.0), 10), 50.0, 1e-12 * 50);
  EXPECT_NEAR(bits_per_byte(3 * std::log(256.0), 3), 8.0, 1e-12 * 8);
}

TEST(Perplexity, OfNothingIsRefused) {
  EXPECT_THROW(perplexity(1.0, 0), std::logic_error);
  EXPECT_THROW(word_perplexity(1.0, 0), std::logic_error);
  EXPECT_THROW(bits_per_byte(1.0, -1), std::logic_error);
}

}  // namespace
}  // namespace polyphase
