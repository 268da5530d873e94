// SPDX-License-Identifier: Apache-2.0
#include "corpus/batch_builder.hpp"

#include <algorithm>
#include <utility>

namespace polyphase {
namespace {

std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

BatchBuilder::BatchBuilder(const SampleSettings& settings)
    : has_sequence_labels_(settings.kind == SampleKind::kClassification ||
                           (settings.kind == SampleKind::kPretraining && settings.next_sentence)),
      has_token_labels_(settings.kind == SampleKind::kTagging) {
  batch_.starts.push_back(0);
}

void BatchBuilder::add(const Sample& sample, std::uint64_t global_sample) {
  const auto length = static_cast<std::int32_t>(sample.tokens.size());
  const std::int32_t start = batch_.starts.back();
  append(batch_.tokens_N, sample.tokens);
  append(batch_.segments_N, sample.segments);
  for (std::int32_t position = 0; position < length; ++position) {
    batch_.positions_N.push_back(position);
    batch_.row_ids_N.push_back((global_sample << 16) | static_cast<std::uint64_t>(position));
  }
  for (const std::int32_t position : sample.targets.positions) {
    batch_.target_rows_M.push_back(start + position);
  }
  append(batch_.target_labels_M, sample.targets.labels);
  if (has_sequence_labels_) batch_.sequence_labels_B.push_back(sample.sequence_label);
  if (has_token_labels_) append(batch_.token_labels_N, sample.token_labels);
  batch_.starts.push_back(start + length);
  batch_.max_tokens = std::max<std::int64_t>(batch_.max_tokens, length);
}

Batch BatchBuilder::finish() {
  const std::int64_t num_rows = round_up(batch_.num_tokens(), kRowMultiple);
  batch_.tokens_N.resize(num_rows, 0);
  batch_.positions_N.resize(num_rows, 0);
  batch_.segments_N.resize(num_rows, 0);
  batch_.row_ids_N.resize(num_rows, 0);
  if (has_token_labels_) batch_.token_labels_N.resize(num_rows, -1);
  const auto num_masked = static_cast<std::int64_t>(batch_.target_rows_M.size());
  batch_.target_rows_M.resize(round_up(num_masked, kTargetRowMultiple), -1);
  batch_.target_labels_M.resize(batch_.target_rows_M.size(), -1);
  Batch done = std::exchange(batch_, Batch{});
  batch_.starts.push_back(0);
  return done;
}

}  // namespace polyphase
