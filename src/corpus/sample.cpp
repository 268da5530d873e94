// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample.hpp"

#include "base/error.hpp"
#include "corpus/sample_form.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

DatasetKind needed_kind(SampleKind kind) {
  switch (kind) {
    case SampleKind::kPretraining:
    case SampleKind::kNextSentence:
    case SampleKind::kSentenceOrder:
    case SampleKind::kCausal:
    case SampleKind::kPrefix:
    case SampleKind::kSpans:
      return DatasetKind::kText;
    case SampleKind::kClassification:
      return DatasetKind::kClassification;
    case SampleKind::kRegression:
      return DatasetKind::kRegression;
    case SampleKind::kMultiLabel:
      return DatasetKind::kMultiLabel;
    case SampleKind::kTagging:
      return DatasetKind::kTagging;
    case SampleKind::kQuestionAnswering:
      return DatasetKind::kQuestionAnswering;
    case SampleKind::kGeneration:
      return DatasetKind::kGeneration;
  }
  broken_promise(__FILE__, __LINE__, "unknown kind of sample");
}

std::unique_ptr<SampleForm> make_form(Dataset& dataset, const SampleSettings& settings,
                                      SampleKind kind) {
  switch (kind) {
    case SampleKind::kPretraining:
    case SampleKind::kNextSentence:
    case SampleKind::kSentenceOrder:
      return make_encoder_samples(dataset, settings, kind);
    case SampleKind::kCausal:
      return make_window_samples(dataset, settings, kind);
    case SampleKind::kPrefix:
      return settings.encoder_decoder ? make_parted_samples(dataset, settings, kind)
                                      : make_window_samples(dataset, settings, kind);
    case SampleKind::kSpans:
      return make_span_samples(dataset, settings, kind);
    case SampleKind::kClassification:
    case SampleKind::kRegression:
    case SampleKind::kMultiLabel:
    case SampleKind::kTagging:
      return make_labelled_samples(dataset, settings, kind);
    case SampleKind::kQuestionAnswering:
      return make_answer_samples(dataset, settings, kind);
    case SampleKind::kGeneration:
      return make_generation_samples(dataset, settings, kind);
  }
  broken_promise(__FILE__, __LINE__, "unknown kind of sample");
}

}  // namespace

SampleMaker::SampleMaker(Dataset& dataset, const SampleSettings& settings)
    : kinds_(settings.kinds) {
  const DatasetKind needed = needed_kind(kinds_.at(0));
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
  for (const SampleKind kind : kinds_) {
    forms_.push_back(make_form(dataset, settings, kind));
    POLYPHASE_PROMISE(forms_.back()->num_samples() == num_samples(),
                      "{} and {} samples of kinds that take turns", forms_.back()->num_samples(),
                      num_samples());
  }
}

SampleMaker::~SampleMaker() = default;

std::int64_t SampleMaker::num_samples() const { return forms_.front()->num_samples(); }

void SampleMaker::make(std::int64_t sample, const SampleRole& role, Sample& result) {
  result.clear();
  result.kind = kinds_.at(role.turn);
  forms_[role.turn]->make(sample, role, result);
  if (result.ends.empty()) result.ends.push_back(static_cast<std::int32_t>(result.tokens.size()));
}

}  // namespace polyphase
