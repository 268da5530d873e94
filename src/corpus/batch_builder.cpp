// SPDX-License-Identifier: Apache-2.0
#include "corpus/batch_builder.hpp"

#include <algorithm>
#include <utility>

#include "corpus/text_layout.hpp"

namespace polyphase {
namespace {

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Sequences that end at `ends`. A row's id counts on through them, so that no two rows of a sample
// draw the same dropout; its position begins again.
void append_rows(Rows& rows, const std::vector<std::int32_t>& tokens,
                 const std::vector<std::int32_t>& ends, std::uint64_t global_sample) {
  append(rows.tokens_N, tokens);
  const std::int32_t start = rows.starts.back();
  std::int32_t place = 0;
  for (const std::int32_t end : ends) {
    rows.max_tokens = std::max<std::int64_t>(rows.max_tokens, end - place);
    for (std::int32_t position = 0; place < end; ++place, ++position) {
      rows.positions_N.push_back(position);
      rows.row_ids_N.push_back((global_sample << 16) | static_cast<std::uint64_t>(place));
    }
    rows.starts.push_back(start + end);
  }
}

void finish_rows(Rows& rows) {
  const std::int64_t num_rows = round_up(rows.num_tokens(), kRowMultiple);
  rows.tokens_N.resize(num_rows, 0);
  rows.positions_N.resize(num_rows, 0);
  rows.segments_N.resize(num_rows, 0);
  rows.row_ids_N.resize(num_rows, 0);
}

}  // namespace

BatchBuilder::BatchBuilder(const SampleSettings& settings) : settings_(settings) { begin(); }

void BatchBuilder::begin() {
  batch_ = Batch{};
  batch_.starts.push_back(0);
  if (settings_.encoder_decoder) batch_.source.starts.push_back(0);
}

void BatchBuilder::add(const Sample& sample, std::uint64_t global_sample) {
  const std::int32_t start = batch_.starts.back();
  append_rows(batch_, sample.tokens, sample.ends, global_sample);
  append(batch_.segments_N, settings_.matches ? segments_with_matches(sample) : sample.segments);
  if (!batch_.source.starts.empty()) {
    append_rows(batch_.source, sample.source, {static_cast<std::int32_t>(sample.source.size())},
                global_sample);
  }
  add_labels(sample, start);
}

void BatchBuilder::add_labels(const Sample& sample, std::int32_t start) {
  for (const std::int32_t position : sample.targets.positions) {
    batch_.target_rows_M.push_back(start + position);
  }
  append(batch_.target_labels_M, sample.targets.labels);
  if (settings_.kinds.size() > 1)
    batch_.kinds_B.insert(batch_.kinds_B.end(), sample.ends.size(), sample.kind);
  append(batch_.prefixes_B, sample.prefixes);
  append(batch_.label_sets_BK, sample.label_set);
  append(batch_.token_labels_N, sample.token_labels);
  switch (settings_.kinds.front()) {
    case SampleKind::kNextSentence:
    case SampleKind::kSentenceOrder:
    case SampleKind::kClassification:
      batch_.sequence_labels_B.push_back(sample.sequence_label);
      break;
    case SampleKind::kRegression:
      batch_.sequence_values_B.push_back(sample.value);
      break;
    case SampleKind::kQuestionAnswering:
      batch_.answer_first_B.push_back(start + sample.answer_first);
      batch_.answer_last_B.push_back(start + sample.answer_last);
      break;
    default:
      break;
  }
}

Batch BatchBuilder::finish() {
  finish_rows(batch_);
  finish_rows(batch_.source);
  if (settings_.kinds.front() == SampleKind::kTagging)
    batch_.token_labels_N.resize(batch_.tokens_N.size(), -1);
  const auto num_targets = static_cast<std::int64_t>(batch_.target_rows_M.size());
  batch_.target_rows_M.resize(round_up(num_targets, kTargetRowMultiple), -1);
  batch_.target_labels_M.resize(batch_.target_rows_M.size(), -1);
  Batch done = std::exchange(batch_, Batch{});
  begin();
  return done;
}

}  // namespace polyphase
