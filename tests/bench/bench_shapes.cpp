// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_shapes.hpp"

#include "base/philox.hpp"

namespace polyphase {

const std::map<std::string, BenchShape>& bench_shapes() {
  using recipe::Family;
  static const std::map<std::string, BenchShape> shapes = {
      {"encoder-4-256", {Family::kBert, 4, 256, 4, 8192, 32, 128}},
      {"bert-base", {Family::kBert, 12, 768, 12, 30522, 8, 128}},
      {"small-gpt", {Family::kGpt, 6, 384, 6, 65, 12, 256}},
      {"gpt-2", {Family::kGpt, 12, 768, 12, 50257, 4, 256}},
      {"gpt-1b", {Family::kGpt, 24, 2048, 16, 50257, 8, 1024}}};
  return shapes;
}

Batch random_batch(const BenchShape& shape, std::int64_t sequences, std::uint64_t key) {
  Batch batch;
  batch.max_tokens = shape.tokens;
  batch.starts.push_back(0);
  for (std::int64_t b = 0; b < sequences; ++b) {
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      const auto row = static_cast<std::uint64_t>(b * shape.tokens + t);
      const PhiloxWords words = philox(key, row, 0);
      const auto token = static_cast<std::int32_t>(
          5 + words.word[0] % static_cast<std::uint32_t>(shape.vocabulary - 5));
      batch.tokens_N.push_back(token);
      batch.positions_N.push_back(static_cast<std::int32_t>(t));
      batch.segments_N.push_back(0);
      batch.row_ids_N.push_back((static_cast<std::uint64_t>(b) << 16) |
                                static_cast<std::uint64_t>(t));
      // Random tokens tell nothing of the next one, so a row may as well predict its own.
      if (is_causal(shape) || words.word[1] % 100 < 15) {
        batch.target_rows_M.push_back(static_cast<std::int32_t>(row));
        batch.target_labels_M.push_back(token);
      }
    }
    batch.starts.push_back(static_cast<std::int32_t>(batch.tokens_N.size()));
  }
  while (batch.target_rows_M.size() % kTargetRowMultiple != 0) {
    batch.target_rows_M.push_back(-1);
    batch.target_labels_M.push_back(-1);
  }
  return batch;
}

double step_flops(const BenchShape& shape, double targets) {
  const double tokens = static_cast<double>(shape.sequences * shape.tokens);
  const double c = static_cast<double>(shape.width), layers = static_cast<double>(shape.layers);
  return 6 * 12 * c * c * layers * tokens +
         12 * layers * static_cast<double>(shape.tokens) * c * tokens +
         6 * ((is_causal(shape) ? 0 : c * c) + c * static_cast<double>(shape.vocabulary)) * targets;
}

}  // namespace polyphase
