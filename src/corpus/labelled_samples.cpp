// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "corpus/sample_form.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

// One or two texts with what is known of them: [CLS] A [SEP] or [CLS] A [SEP] B [SEP].
class LabelledTexts final : public SampleForm {
 public:
  using SampleForm::SampleForm;

  void make(std::int64_t sample, std::uint64_t, Sample& result) override {
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
    append(text::kClsId, 0, result);
    append(text_, 0, first, 0, result);
    append(text::kSepId, 0, result);
    if (num_texts == 2) {
      append(text_, border, second, 1, result);
      append(text::kSepId, 1, result);
    }
    result.truncated = first + second < end;
    set_labels(sample, result);
  }

 private:
  void set_labels(std::int64_t sample, Sample& result) const {
    if (settings_.kind == SampleKind::kRegression) {
      result.value = text_.value;
    } else if (settings_.kind == SampleKind::kMultiLabel) {
      result.label_set.assign(dataset_.label_names().size(), 0.0F);
      for (const std::int32_t label : text_.labels)
        result.label_set[checked_label(sample, label, 0)] = 1.0F;
    } else {
      result.sequence_label =
          checked_label(sample, text_.labels.size() == 1 ? text_.labels[0] : -1, 0);
    }
  }
};

// Words with their tags: [CLS] text [SEP]; a word's first piece carries its tag.
class TaggedTexts final : public SampleForm {
 public:
  using SampleForm::SampleForm;

  void make(std::int64_t sample, std::uint64_t, Sample& result) override {
    dataset_.read_document(sample, text_);
    const auto end = static_cast<std::int64_t>(text_.tokens.size());
    const std::int64_t count = std::min(end, settings_.max_tokens - 2);
    append(text::kClsId, 0, result);
    append(text_, 0, count, 0, result);
    append(text::kSepId, 0, result);
    result.token_labels.assign(result.tokens.size(), -1);
    for (std::int64_t i = 0; i < count; ++i) {
      result.token_labels[i + 1] = checked_label(sample, text_.token_labels.at(i), -1);
    }
    result.truncated = count < end;
  }
};

}  // namespace

std::unique_ptr<SampleForm> make_labelled_samples(Dataset& dataset,
                                                  const SampleSettings& settings) {
  if (settings.kind == SampleKind::kTagging)
    return std::make_unique<TaggedTexts>(dataset, settings);
  return std::make_unique<LabelledTexts>(dataset, settings);
}

}  // namespace polyphase
