// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "kernels/elementwise.hpp"
#include "model/body.hpp"
#include "model/kept_weights.hpp"
#include "model/key_value_cache.hpp"
#include "objective/objective.hpp"

namespace polyphase {

// What writes a text: a body and the language model on it.
template <class Real>
struct Writer {
  const Communicator& tensor;
  Body<Real>& body;
  const Objective<Real>& head;
};

// Passes of a generation, each over further rows of every sequence, with what they keep for the
// next: keys, values and the weights as products read them.
template <class Real>
class Generation {
 public:
  void begin(std::int64_t num_sequences, std::int64_t max_tokens) {
    cache_.emplace(num_sequences, max_tokens);
    weights_.forget();
    planned_tokens_ = max_tokens;
  }

  // Bytes of the arena that the passes to come need, the first of which needs the most; 0: that is
  // planned. It is counted without the cache, whose memory is not the arena's, but with keys as
  // long as they can become.
  std::size_t plan(const Writer<Real>& writer, const Batch& first) {
    if (planned_tokens_ == 0) return 0;
    Batch longest = first;
    longest.max_tokens = planned_tokens_;
    planned_tokens_ = 0;
    Arena counting;
    run(writer, {.space = {}, .arena = &counting}, longest);
    return counting.peak_bytes();
  }

  // Bytes of the weights that are kept.
  std::size_t plan_weights(const Writer<Real>& writer, const Batch& first) {
    Arena counting;
    run(writer, {.space = {}, .arena = &counting}, first);
    return weights_.num_bytes();
  }

  // B × V logits behind every sequence's last row.
  std::vector<float> next(const Writer<Real>& writer, const Exec& exec, const Batch& batch) {
    cache_->begin_pass(exec, batch);
    return run(writer, exec, batch);
  }

  void reorder(const Exec& exec, const std::vector<std::int32_t>& parents) {
    cache_->reorder(exec, parents);
  }

 private:
  std::vector<float> run(const Writer<Real>& writer, const Exec& exec, const Batch& batch) {
    exec.arena->release(0);
    Pass pass = begin_pass(exec, writer.tensor, batch, batch, {}, false);
    if (!exec.counting()) pass.cache = &*cache_;
    pass.kept_weights = &weights_;
    const Tensor2<const Real> hidden_NC = writer.body.forward(pass);
    const auto logits_BV =
        exec.arena->take2<float>(batch.num_sequences(), writer.head.vocabulary().size);
    writer.head.logits(pass, logits_BV, hidden_NC, last_rows(batch));
    if (exec.counting()) return {};
    return whole_vocabulary(writer, exec, logits_BV);
  }

  static std::vector<float> whole_vocabulary(const Writer<Real>& writer, const Exec& exec,
                                             Tensor2<float> logits_BV) {
    const auto b = static_cast<std::int64_t>(logits_BV.extent(0));
    std::vector<float> part(static_cast<std::size_t>(logits_BV.size()));
    copy_to_host(exec, part.data(), Tensor1<const float>(flat(logits_BV)));
    if (writer.tensor.size() == 1) return part;
    const Split mine = writer.head.vocabulary();
    const std::int64_t all = writer.body.embedding().num_token_ids();
    std::vector<float> whole(static_cast<std::size_t>(b * all), 0.0F);
    for (std::int64_t row = 0; row < b; ++row) {
      std::copy_n(part.begin() + row * mine.size, mine.size,
                  whole.begin() + row * all + mine.begin);
    }
    writer.tensor.sum(whole.data(), static_cast<std::int64_t>(whole.size()));
    return whole;
  }

  std::optional<KeyValueCache> cache_;
  KeptWeights weights_;
  std::int64_t planned_tokens_ = 0;  // of a generation that is not yet planned
};

}  // namespace polyphase
