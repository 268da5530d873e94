// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "corpus/draws.hpp"
#include "corpus/sample_form.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

// Causal language models read the corpus as one stream in which every document stands as [CLS] and
// its tokens; a row predicts the token behind it, the last of a document [SEP]. A sample is a
// window of max_tokens rows, and each document in it a sequence of its own: nothing attends across
// documents, and nothing is padded.
//
// In training the windows of an epoch begin at a keyed offset, so that what stands at the head of a
// window, with little to read before it, changes; less than two windows' rows at the two ends of
// the stream are left out. An evaluation covers every row once.
class WindowSamples final : public SampleForm {
 public:
  WindowSamples(Dataset& dataset, const SampleSettings& settings, SampleKind kind)
      : SampleForm(dataset, settings, kind),
        num_rows_(dataset.num_window_rows()),
        offset_key_(key(Purpose::kWindow)),
        prefix_key_(key(Purpose::kPrefix)) {}

  std::int64_t num_samples() const override {
    const std::int64_t length = settings_.max_tokens;
    if (settings_.evaluation) return (num_rows_ + length - 1) / length;
    return std::max<std::int64_t>(1, num_rows_ / length - 1);
  }

  void make(std::int64_t sample, const SampleRole& role, Sample& result) override {
    const std::int64_t first = sample * settings_.max_tokens + offset_of(role.epoch);
    const std::int64_t count = std::min(settings_.max_tokens, num_rows_ - first);
    dataset_.read_window(first, count, pieces_);
    Draws draws(prefix_key_, role.global_sample);
    for (const WindowPiece& piece : pieces_) append_piece(piece, draws, result);
  }

 private:
  std::int64_t offset_of(std::int64_t epoch) const {
    if (settings_.evaluation) return 0;
    const std::int64_t slack = num_rows_ - num_samples() * settings_.max_tokens;
    if (slack <= 0) return 0;
    return Draws(offset_key_, static_cast<std::uint64_t>(epoch)).below(slack + 1);
  }

  void append_piece(const WindowPiece& piece, Draws& draws, Sample& result) {
    const auto begin = static_cast<std::int64_t>(result.tokens.size());
    if (piece.begins_document) append(text::kClsId, 0, result);
    const auto num_tokens =
        static_cast<std::int64_t>(piece.tokens.size()) - (piece.ends_document ? 0 : 1);
    for (std::int64_t i = 0; i < num_tokens; ++i) append(piece.tokens[i], 0, result);
    const auto end = static_cast<std::int64_t>(result.tokens.size());
    result.ends.push_back(static_cast<std::int32_t>(end));
    const std::int64_t prefix = kind_ == SampleKind::kPrefix ? 1 + draws.below(end - begin) : 0;
    if (prefix > 0 || settings_.kinds.size() > 1)
      result.prefixes.push_back(static_cast<std::int32_t>(prefix));
    // Inside the prefix a row sees what it would have to predict.
    for (std::int64_t row = begin + std::max<std::int64_t>(0, prefix - 1); row < end; ++row) {
      const std::int64_t next = row - begin + (piece.begins_document ? 0 : 1);
      const bool last = next == static_cast<std::int64_t>(piece.tokens.size());
      add_target(row, last ? text::kSepId : piece.tokens[next], result);
    }
  }

  std::int64_t num_rows_;
  std::uint64_t offset_key_, prefix_key_;
  std::vector<WindowPiece> pieces_;
};

}  // namespace

std::unique_ptr<SampleForm> make_window_samples(Dataset& dataset, const SampleSettings& settings,
                                                SampleKind kind) {
  return std::make_unique<WindowSamples>(dataset, settings, kind);
}

}  // namespace polyphase
