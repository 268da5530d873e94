// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_shapes.hpp"

#include <algorithm>

#include "base/philox.hpp"
#include "recipe/load.hpp"

namespace polyphase {

const std::map<std::string, BenchShape>& bench_shapes() {
  using recipe::Family;
  static const std::map<std::string, BenchShape> shapes = {
      {"encoder-4-256", {Family::kBert, 4, 256, 4, 8192, 32, 128}},
      {"bert-base", {Family::kBert, 12, 768, 12, 30522, 8, 128}},
      {"small-gpt", {Family::kGpt, 6, 384, 6, 65, 12, 256}},
      {"gpt-2", {Family::kGpt, 12, 768, 12, 50257, 4, 256}},
      {"t5-small", {Family::kT5, 6, 512, 8, 32128, 8, 64, 128}},
      {"gpt-1b", {Family::kGpt, 24, 2048, 16, 50257, 8, 1024}}};
  return shapes;
}

recipe::Recipe bench_recipe(const BenchShape& shape, const std::string& precision) {
  recipe::Recipe recipe;
  recipe.precision = precision == "bf16" ? recipe::Precision::kBf16 : recipe::Precision::kF32;
  recipe.model = recipe::family_defaults(shape.family);
  recipe.model.num_layers = shape.layers;
  recipe.model.width = shape.width;
  recipe.model.num_heads = shape.heads;
  recipe.model.max_tokens = std::max(shape.tokens, shape.source_tokens);
  recipe.phases.resize(1);
  recipe.phases[0].name = "bench";
  return recipe;
}

namespace {

// Sequences of random tokens, all of the same length.
void fill(Rows& rows, const BenchShape& shape, std::int64_t sequences, std::int64_t tokens,
          std::uint64_t key) {
  rows.max_tokens = tokens;
  rows.starts.push_back(0);
  for (std::int64_t b = 0; b < sequences; ++b) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto row = static_cast<std::uint64_t>(b * tokens + t);
      rows.tokens_N.push_back(static_cast<std::int32_t>(
          5 + philox(key, row, 0).word[0] % static_cast<std::uint32_t>(shape.vocabulary - 5)));
      rows.positions_N.push_back(static_cast<std::int32_t>(t));
      rows.segments_N.push_back(0);
      rows.row_ids_N.push_back((static_cast<std::uint64_t>(b) << 16) |
                               static_cast<std::uint64_t>(t));
    }
    rows.starts.push_back(static_cast<std::int32_t>(rows.tokens_N.size()));
  }
}

}  // namespace

Batch random_batch(const BenchShape& shape, std::int64_t sequences, std::uint64_t key) {
  Batch batch;
  fill(batch, shape, sequences, shape.tokens, key);
  if (shape.source_tokens > 0) fill(batch.source, shape, sequences, shape.source_tokens, ~key);
  for (std::size_t row = 0; row < batch.tokens_N.size(); ++row) {
    // Random tokens tell nothing of the next one, so a row may as well predict its own.
    if (is_causal(shape) || philox(key, row, 0).word[1] % 100 < 15) {
      batch.target_rows_M.push_back(static_cast<std::int32_t>(row));
      batch.target_labels_M.push_back(batch.tokens_N[row]);
    }
  }
  while (batch.target_rows_M.size() % kTargetRowMultiple != 0) {
    batch.target_rows_M.push_back(-1);
    batch.target_labels_M.push_back(-1);
  }
  return batch;
}

double step_flops(const BenchShape& shape, double targets) {
  const auto c = static_cast<double>(shape.width), layers = static_cast<double>(shape.layers);
  const auto keys = static_cast<double>(shape.tokens);
  const auto source_keys = static_cast<double>(shape.source_tokens);
  const double rows = static_cast<double>(shape.sequences) * keys;
  const double source_rows = static_cast<double>(shape.sequences) * source_keys;
  // The encoder; the decoder's own; its queries, keys and values of what the encoder has read.
  const double crossing = source_rows > 0 ? 2 * rows + 2 * source_rows : 0;
  const double products = 6 * c * c * layers * (12 * source_rows + 12 * rows + crossing);
  const double attention =
      12 * layers * c * (source_keys * source_rows + keys * rows + source_keys * rows);
  const double head =
      6 * ((is_causal(shape) ? 0 : c * c) + c * static_cast<double>(shape.vocabulary)) * targets;
  return products + attention + head;
}

}  // namespace polyphase
