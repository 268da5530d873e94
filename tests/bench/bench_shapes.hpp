// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "corpus/batch.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A model and a step of it, as benchmarks know it by name. An encoder has a masked-language-model
// head on 15 % of its rows, a decoder predicts every next token; one with an encoder before it has
// as many layers again there, which read `source_tokens` a sequence.
struct BenchShape {
  recipe::Family family;
  std::int64_t layers, width, heads, vocabulary, sequences, tokens, source_tokens = 0;

  std::int64_t tokens_of_step() const { return sequences * (tokens + source_tokens); }
};

const std::map<std::string, BenchShape>& bench_shapes();

inline bool is_causal(const BenchShape& shape) { return shape.family != recipe::Family::kBert; }

// The shape as the model of a recipe in that precision ("f32", "bf16"), with one phase that is to
// be told what it trains.
recipe::Recipe bench_recipe(const BenchShape& shape, const std::string& precision);

// Random tokens in full rows.
Batch random_batch(const BenchShape& shape, std::int64_t sequences, std::uint64_t key);

// Floating-point operations of a step of the whole job: 6 for each weight of a product and row that
// it sees, 12 × layers × keys × width for attention's products, also of the keys that a causal row
// does not see. Embeddings and activations do not count. `targets`: tokens that are predicted.
double step_flops(const BenchShape& shape, double targets);

}  // namespace polyphase
