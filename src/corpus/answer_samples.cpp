// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "corpus/draws.hpp"
#include "corpus/sample_form.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

// [CLS] question [SEP] context [SEP] (Devlin et al., 2019, section 4.2). Of a context that does not
// fit a sample shows one window: in training a keyed one that holds the answer, in evaluation the
// one with the answer in its middle; without an answer any, or the first. Questions keep at most
// half of the room.
class AnswerSamples final : public SampleForm {
 public:
  AnswerSamples(Dataset& dataset, const SampleSettings& settings)
      : SampleForm(dataset, settings), key_(key(Purpose::kAnswer)) {}

  void make(std::int64_t sample, std::uint64_t global_sample, Sample& result) override {
    dataset_.read_document(sample, text_);
    if (text_.sentence_starts.size() != 3) {
      fail<DataError>("{}: sample {} has {} texts, not a question and its context; prepare again",
                      dataset_.name(), sample, text_.sentence_starts.size() - 1);
    }
    const std::int64_t border = text_.sentence_starts[1];
    const std::int64_t room = settings_.max_tokens - 3;
    const std::int64_t question = std::min(border, room / 2);
    const std::int64_t size = static_cast<std::int64_t>(text_.tokens.size()) - border;
    const std::int64_t window = std::min(size, room - question);
    const std::int64_t start = window_start(size, window, border, global_sample);
    append(text::kClsId, 0, result);
    append(text_, 0, question, 0, result);
    append(text::kSepId, 0, result);
    const auto context = static_cast<std::int64_t>(result.tokens.size());
    append(text_, border + start, window, 1, result);
    append(text::kSepId, 1, result);
    result.truncated = question < border || window < size;
    if (text_.labels.empty()) return;
    const std::int64_t first = text_.labels[0] - border - start,
                       last = text_.labels[1] - border - start;
    if (first < 0 || last >= window) return;  // longer than the window
    result.answer_first = static_cast<std::int32_t>(context + first);
    result.answer_last = static_cast<std::int32_t>(context + last);
  }

 private:
  std::int64_t window_start(std::int64_t size, std::int64_t window, std::int64_t border,
                            std::uint64_t global_sample) const {
    if (window == size) return 0;
    Draws draws(key_, global_sample);
    if (text_.labels.empty()) return settings_.evaluation ? 0 : draws.below(size - window + 1);
    const std::int64_t first = text_.labels[0] - border, last = text_.labels[1] - border;
    const std::int64_t lowest = std::max<std::int64_t>(0, last - window + 1);
    const std::int64_t highest = std::max(lowest, std::min(first, size - window));
    return settings_.evaluation ? (lowest + highest) / 2
                                : lowest + draws.below(highest - lowest + 1);
  }

  std::uint64_t key_;
};

}  // namespace

std::unique_ptr<SampleForm> make_answer_samples(Dataset& dataset, const SampleSettings& settings) {
  return std::make_unique<AnswerSamples>(dataset, settings);
}

}  // namespace polyphase
