// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "corpus/draws.hpp"
#include "corpus/sample_form.hpp"
#include "corpus/text_layout.hpp"

namespace polyphase {
namespace {

// A question and its context. Of a context that does not fit a sample shows one window: in
// evaluation the one with the answer in its middle, or the first where there is none. In training
// it is a keyed one: every second time any window at all, so that a model learns to find no answer
// where it does not stand whole (label [CLS], as in the released code of Devlin et al., 2019), else
// one that holds the answer, which in a long context would be rare otherwise.
class AnswerSamples final : public SampleForm {
 public:
  AnswerSamples(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : SampleForm(dataset, settings, kind), key_(key(Purpose::kAnswer)) {}

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    dataset_.read_document(sample, text_);
    if (text_.sentence_starts.size() != 3) {
      fail<DataError>("{}: sample {} has {} texts, not a question and its context; prepare again",
                      dataset_.name(), sample, text_.sentence_starts.size() - 1);
    }
    check_answer(sample, text_.sentence_starts[1]);
    augment_text(role, 2);
    const std::int64_t border = text_.sentence_starts[1];
    const AnswerRoom room = answer_room(text_, settings_.max_tokens);
    const std::int64_t start = window_start(room.context, room.window, border, role.global_sample);
    lay_out_question(text_, room, start, result);
    if (text_.labels.empty()) return;
    const std::int64_t first = text_.labels[0] - border - start,
                       last = text_.labels[1] - border - start;
    if (first < 0 || last >= room.window) return;  // not whole in the window
    result.answer_first = static_cast<std::int32_t>(window_place(room) + first);
    result.answer_last = static_cast<std::int32_t>(window_place(room) + last);
  }

 private:
  void check_answer(std::int64_t sample, std::int64_t border) const {
    const std::vector<std::int32_t>& answer = text_.labels;
    if (answer.empty()) return;
    const bool whole = answer.size() == 2 && border <= answer[0] && answer[0] <= answer[1] &&
                       answer[1] < static_cast<std::int64_t>(text_.tokens.size());
    if (whole) return;
    fail<DataError>("{}: the answer of sample {} does not lie in its context; prepare it again",
                    dataset_.name(), sample);
  }

  std::int64_t window_start(std::int64_t size, std::int64_t window, std::int64_t border,
                            std::uint64_t global_sample) const {
    if (window == size) return 0;
    const bool answered = !text_.labels.empty();
    Draws draws(key_, global_sample);
    if (!settings_.evaluation && (!answered || draws.below(2) == 0))
      return draws.below(size - window + 1);
    if (!answered) return 0;
    const std::int64_t first = text_.labels[0] - border, last = text_.labels[1] - border;
    const std::int64_t lowest = std::max<std::int64_t>(0, last - window + 1);
    const std::int64_t highest = std::max(lowest, std::min(first, size - window));
    return settings_.evaluation ? (lowest + highest) / 2
                                : lowest + draws.below(highest - lowest + 1);
  }

  std::uint64_t key_;
};

}  // namespace

std::unique_ptr<SampleForm> make_answer_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind) {
  return std::make_unique<AnswerSamples>(dataset, settings, kind);
}

}  // namespace polyphase
