// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

DatasetKind needed_kind(SampleKind kind) {
  switch (kind) {
    case SampleKind::kPretraining:
      return DatasetKind::kText;
    case SampleKind::kClassification:
      return DatasetKind::kClassification;
    case SampleKind::kTagging:
      return DatasetKind::kTagging;
  }
  broken_promise(__FILE__, __LINE__, "unknown kind of sample");
}

std::uint64_t key_of(const SampleSettings& settings, Purpose purpose) {
  if (settings.evaluation) return random_key(settings.seed, purpose, {2});
  return random_key(settings.seed, purpose, {1, settings.phase});
}

void append(std::int32_t token, std::int32_t segment, Sample& result) {
  result.tokens.push_back(token);
  result.segments.push_back(segment);
}

void append(const ShardText& text, std::int64_t first, std::int64_t count, std::int32_t segment,
            Sample& result) {
  const auto begin = text.tokens.begin() + first;
  result.tokens.insert(result.tokens.end(), begin, begin + count);
  result.segments.insert(result.segments.end(), count, segment);
}

// Shortens the longer of two texts, then both, until they fit together.
void fit_pair(std::int64_t room, std::int64_t& first, std::int64_t& second) {
  const std::int64_t half = room / 2;
  if (first + second <= room) return;
  if (second <= half) {
    first = room - second;
  } else if (first <= room - half) {
    second = room - first;
  } else {
    first = room - half;
    second = half;
  }
}

}  // namespace

SampleMaker::SampleMaker(Dataset& dataset, const SampleSettings& settings)
    : dataset_(dataset),
      settings_(settings),
      mask_key_(key_of(settings, Purpose::kMask)),
      pair_key_(key_of(settings, Purpose::kNextSentence)) {
  const DatasetKind needed = needed_kind(settings.kind);
  if (dataset.kind() != needed) {
    fail<RecipeError>("{} is a {} corpus, but the phase needs a {} corpus; change its data or task",
                      dataset.name(), name_of(dataset.kind()), name_of(needed));
  }
  if (settings.max_tokens < kMinMaxTokens || settings.max_tokens > 65536) {
    fail<RecipeError>("max_tokens is {}, but must lie between {} and 65536", settings.max_tokens,
                      kMinMaxTokens);
  }
  POLYPHASE_PROMISE(settings.mask_fraction >= 0 && settings.mask_fraction <= 1,
                    "mask_fraction is {}", settings.mask_fraction);
  POLYPHASE_PROMISE(dataset.vocab_size() > text::kNumSpecialIds, "vocabulary of {}",
                    dataset.vocab_size());
}

void SampleMaker::make(std::int64_t sample, std::uint64_t global_sample, Sample& result) {
  result.tokens.clear();
  result.segments.clear();
  result.targets.positions.clear();
  result.targets.labels.clear();
  result.token_labels.clear();
  result.sequence_label = -1;
  result.truncated = false;
  append(text::kClsId, 0, result);
  switch (settings_.kind) {
    case SampleKind::kClassification:
      return make_classification(sample, result);
    case SampleKind::kTagging:
      return make_tagging(sample, result);
    case SampleKind::kPretraining:
      if (!settings_.next_sentence || !make_pair(sample, global_sample, result)) {
        make_text(sample, result);
      }
  }
  if (settings_.masked_language_model) {
    Draws draws(mask_key_, global_sample);
    draw_masks(result.tokens, settings_.mask_fraction, dataset_.vocab_size(), draws, result.targets);
  }
}

void SampleMaker::append_text(const TextRange& range, std::int32_t segment, Sample& result) {
  dataset_.read_sentences(range.first_sentence, range.num_sentences, text_);
  append(text_, range.skip, range.num_tokens, segment, result);
  append(text::kSepId, segment, result);
}

void SampleMaker::make_text(std::int64_t sample, Sample& result) {
  const Dataset::Document document = dataset_.document_of(sample);
  const std::int64_t room = settings_.max_tokens - 2;
  const std::int64_t most = document.first_sentence + document.num_sentences - sample;
  TextRange range = whole_sentences(dataset_, sample, most, room);
  result.truncated = range.num_tokens > room;
  range.num_tokens = std::min(range.num_tokens, room);
  append_text(range, 0, result);
}

bool SampleMaker::make_pair(std::int64_t sample, std::uint64_t global_sample, Sample& result) {
  Draws draws(pair_key_, global_sample);
  const auto pair = draw_labelled_pair(dataset_, sample, settings_.max_tokens - 3, draws);
  if (!pair) return false;
  append_text(pair->a, 0, result);
  append_text(pair->b, 1, result);
  result.sequence_label = pair->label;
  result.truncated = pair->truncated;
  return true;
}

std::int32_t SampleMaker::checked_label(std::int64_t sample, std::int32_t label,
                                        std::int32_t lowest) const {
  const auto num_labels = static_cast<std::int32_t>(dataset_.label_names().size());
  if (label < lowest || label >= num_labels) {
    fail<DataError>("{}: sample {} has label {}, but the corpus has {} labels; prepare it again",
                    dataset_.name(), sample, label, num_labels);
  }
  return label;
}

void SampleMaker::make_classification(std::int64_t sample, Sample& result) {
  dataset_.read_document(sample, text_);
  const auto num_texts = static_cast<std::int64_t>(text_.sentence_starts.size()) - 1;
  if (num_texts > 2) {
    fail<DataError>("{}: sample {} has {} texts, but one or two can be classified; prepare again",
                    dataset_.name(), sample, num_texts);
  }
  const std::int64_t border = text_.sentence_starts[1];
  const auto end = static_cast<std::int64_t>(text_.tokens.size());
  std::int64_t first = border, second = end - border;
  fit_pair(settings_.max_tokens - 1 - num_texts, first, second);
  append(text_, 0, first, 0, result);
  append(text::kSepId, 0, result);
  if (num_texts == 2) {
    append(text_, border, second, 1, result);
    append(text::kSepId, 1, result);
  }
  result.sequence_label =
      checked_label(sample, text_.labels.empty() ? -1 : text_.labels.front(), 0);
  result.truncated = first + second < end;
}

void SampleMaker::make_tagging(std::int64_t sample, Sample& result) {
  dataset_.read_document(sample, text_);
  const auto end = static_cast<std::int64_t>(text_.tokens.size());
  const std::int64_t count = std::min(end, settings_.max_tokens - 2);
  append(text_, 0, count, 0, result);
  append(text::kSepId, 0, result);
  result.token_labels.assign(result.tokens.size(), -1);
  for (std::int64_t i = 0; i < count; ++i) {
    result.token_labels[i + 1] = checked_label(sample, text_.token_labels.at(i), -1);
  }
  result.truncated = count < end;
}

}  // namespace polyphase
