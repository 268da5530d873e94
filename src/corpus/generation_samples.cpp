// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "corpus/sample_form.hpp"
#include "corpus/sentence_pair.hpp"
#include "corpus/span_corruption.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

// The decoder reads [CLS] and the text, and predicts the text and [SEP].
template <class Add>
void append_target_text(const std::vector<std::int32_t>& text, std::int64_t count, const Add& add) {
  add(text::kClsId, count > 0 ? text[0] : text::kSepId);
  for (std::int64_t i = 0; i < count; ++i) add(text[i], i + 1 < count ? text[i + 1] : text::kSepId);
}

// A text in two, for an encoder and decoder. A sample is as many whole sentences from its anchor on
// as fit.
class TextSamples : public SampleForm {
 public:
  using SampleForm::SampleForm;

 protected:
  // The sample's tokens are those of text_: two fewer than a sequence may have, or less.
  void read_text(std::int64_t sample, Sample& result) {
    const Dataset::Document document = dataset_.document_of(sample);
    const std::int64_t room = settings_.max_tokens - 2;
    const std::int64_t most = document.first_sentence + document.num_sentences - sample;
    const TextRange range = whole_sentences(dataset_, sample, most, room);
    dataset_.read_sentences(range.first_sentence, range.num_sentences, text_);
    result.truncated = range.num_tokens > room;
    text_.tokens.resize(static_cast<std::size_t>(std::min(range.num_tokens, room)));
  }

  void predict(const std::vector<std::int32_t>& target, Sample& result) {
    const std::int64_t count =
        std::min<std::int64_t>(static_cast<std::int64_t>(target.size()), settings_.max_tokens - 1);
    append_target_text(target, count, [&](std::int32_t token, std::int32_t label) {
      add_target(static_cast<std::int64_t>(result.tokens.size()), label, result);
      append(token, 0, result);
    });
  }

  std::vector<std::int32_t> target_;  // memory that is used again
};

// Text with spans taken out, and the spans. A sentinel takes the place of at least one token, so
// the source does not grow, but for the text of one token; the target is [CLS], at most half of the
// tokens more than were taken.
class SpanSamples final : public TextSamples {
 public:
  SpanSamples(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : TextSamples(dataset, settings, kind), key_(key(Purpose::kSpans)) {}

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    read_text(sample, result);
    Draws draws(key_, role.global_sample);
    target_.clear();
    corrupt_spans(text_.tokens,
                  {.fraction = settings_.mask_fraction,
                   .span_tokens = settings_.span_tokens,
                   .first_sentinel = settings_.first_sentinel,
                   .num_sentinels = settings_.num_sentinels},
                  draws, result.source, target_);
    result.source.push_back(text::kSepId);
    predict(target_, result);
  }

 private:
  std::uint64_t key_;
};

// The encoder reads the text up to a place, any but its end, and the decoder says how it goes on
// (Raffel et al., 2020, section 3.3.1).
class PartedSamples final : public TextSamples {
 public:
  PartedSamples(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : TextSamples(dataset, settings, kind), key_(key(Purpose::kPrefix)) {}

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    read_text(sample, result);
    Draws draws(key_, role.global_sample);
    const auto border =
        text_.tokens.begin() + draws.below(static_cast<std::int64_t>(text_.tokens.size()));
    result.source.assign(text_.tokens.begin(), border);
    result.source.push_back(text::kSepId);
    target_.assign(border, text_.tokens.end());
    predict(target_, result);
  }

 private:
  std::uint64_t key_;
};

// A text that follows from a text. With an encoder the source is read by it, ended by [SEP];
// otherwise one sequence holds [CLS] source [SEP] target, and only the target is to be predicted.
class GenerationSamples final : public SampleForm {
 public:
  using SampleForm::SampleForm;

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    dataset_.read_document(sample, text_);
    if (text_.sentence_starts.size() != 3) {
      fail<DataError>("{}: sample {} has {} texts, not a source and a target; prepare again",
                      dataset_.name(), sample, text_.sentence_starts.size() - 1);
    }
    augment_text(role, 1);
    const std::int64_t border = text_.sentence_starts[1];
    const auto end = static_cast<std::int64_t>(text_.tokens.size());
    const std::vector<std::int32_t> target(text_.tokens.begin() + border, text_.tokens.end());
    std::int64_t source_size = border, target_size = end - border;
    const auto predict = [&](std::int32_t token, std::int32_t label) {
      add_target(static_cast<std::int64_t>(result.tokens.size()), label, result);
      append(token, 0, result);
    };
    if (settings_.encoder_decoder) {
      source_size = std::min(source_size, settings_.max_tokens - 1);
      target_size = std::min(target_size, settings_.max_tokens - 1);
      result.source.assign(text_.tokens.begin(), text_.tokens.begin() + source_size);
      result.source.push_back(text::kSepId);
      append_target_text(target, target_size, predict);
    } else {
      fit_pair(settings_.max_tokens - 2, source_size, target_size);
      append(text::kClsId, 0, result);
      append(text_, 0, source_size, 0, result);
      predict(text::kSepId, target_size > 0 ? target[0] : text::kSepId);
      for (std::int64_t i = 0; i < target_size; ++i)
        predict(target[i], i + 1 < target_size ? target[i + 1] : text::kSepId);
    }
    result.truncated = source_size + target_size < end;
  }
};

}  // namespace

std::unique_ptr<SampleForm> make_span_samples(Dataset& dataset, const SampleSettings& settings,
                                              SampleKind kind) {
  return std::make_unique<SpanSamples>(dataset, settings, kind);
}

std::unique_ptr<SampleForm> make_parted_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind) {
  return std::make_unique<PartedSamples>(dataset, settings, kind);
}

std::unique_ptr<SampleForm> make_generation_samples(Dataset& dataset,
                                                    const SampleSettings& settings,
                                                    SampleKind kind) {
  return std::make_unique<GenerationSamples>(dataset, settings, kind);
}

}  // namespace polyphase
