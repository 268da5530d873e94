// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"

namespace polyphase {

// The words of a batch that carry a tag, sentence after sentence, and as many rows -1 as round
// their number up, so that products see few shapes.
struct TaggedWords {
  std::vector<std::int32_t> rows_M, labels_M;
  std::vector<std::uint64_t> ids_M;  // key dropout
  std::vector<std::int32_t> starts;  // B + 1: words of sentence b are [starts[b], starts[b+1])
};

TaggedWords tagged_words(const Batch& batch);

// What the objectives that tag words have in common: dropout on the hidden state of each word's
// first piece, the words' tags from a head of their own, and the metrics: loss in nats a word,
// accuracy (of words), and f1, precision, recall of whole entities in BIO tags (micro-averaged).
template <class Real>
class WordTagging : public Objective<Real> {
 public:
  WordTagging(std::int64_t width, std::vector<std::string> tags)
      : width_(width), tags_(std::move(tags)) {}

  std::string name() const override { return "tagging"; }
  std::int64_t num_terms(const Batch& batch) const override;
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) final;
  std::vector<Prediction> predict(const Pass& pass, Tensor2<const Real> hidden_NC) final;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) final;
  std::map<std::string, double> metrics(const Tally& total) const override;

 protected:
  struct Outcome {
    double nats = 0;                   // summed over words
    double divergence = 0;             // likewise, as Tally's
    std::vector<std::int32_t> best_M;  // the predicted tags
  };
  // The head's pass, as Objective::run: overwrites dx_MC when the pass trains.
  virtual Outcome tag(const Pass& pass, const TaggedWords& words, Tensor2<const Real> x_MC,
                      Tensor2<float> dx_MC, float gradient_scale) = 0;
  // What the head says of the words, which stay where they are.
  virtual SoftTargets teach_words(const Pass&, Tensor2<const Real> /*x_MC*/) {
    broken_promise(__FILE__, __LINE__, "soft labels of a head without a softmax");
  }

 private:
  // Hidden states of the words' first pieces, in the arena.
  Tensor2<Real> gather(const Pass& pass, const TaggedWords& words,
                       Tensor1<const std::int32_t> rows_M, Tensor2<const Real> hidden_NC) const;
  void count(const TaggedWords& words, const std::vector<std::int32_t>& best_M, bool entities,
             Tally& tally) const;

  std::int64_t width_;
  std::vector<std::string> tags_;
};

}  // namespace polyphase
