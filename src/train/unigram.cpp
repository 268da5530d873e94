// SPDX-License-Identifier: Apache-2.0
#include "train/unigram.hpp"

#include <cmath>

namespace polyphase {
namespace {

constexpr std::int64_t kMaxTokens = std::int64_t{4} << 20;

}  // namespace

double unigram_entropy(Dataset& dataset, const Communicator& data) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.vocab_size()));
  const std::int64_t stride = (dataset.num_tokens() + kMaxTokens - 1) / kMaxTokens;
  ShardText text;
  for (std::int64_t i = data.rank(); i * stride < dataset.num_documents(); i += data.size()) {
    dataset.read_document(i * stride, text);
    for (const std::int32_t token : text.tokens) ++counts.at(static_cast<std::size_t>(token));
  }
  data.sum(counts.data(), static_cast<std::int64_t>(counts.size()));
  double total = 0, sum = 0;
  for (const std::int64_t count : counts) {
    const auto n = static_cast<double>(count);
    total += n;
    if (count > 0) sum += n * std::log(n);
  }
  return total > 0 ? std::log(total) - sum / total : 0;
}

}  // namespace polyphase
