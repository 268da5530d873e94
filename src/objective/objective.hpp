// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "objective/prediction.hpp"
#include "objective/soft_targets.hpp"

namespace polyphase {

// Sums over samples, never means: sums of micro-batches add up to the whole step's or data set's,
// which is divided once.
struct Tally {
  double nats = 0;  // summed loss
  // What the loss is a mean over: masked tokens, sequences, labelled tokens.
  std::int64_t num_terms = 0;
  std::vector<std::int64_t> counts;  // for metrics; each objective knows its own
  // Values of single samples, in their order, for metrics that no sums give (ranks, for instance).
  // Not added but laid one behind the other; evaluation only.
  std::vector<double> records;
  double divergence = 0;  // R-Drop: of the two passes, summed over terms; not in nats
  // Where single layers add to the loss, what nats is the sum of, in the order of the whole model's
  // layers; 0 for those of other chunks of a pipeline. Of single micro-batches only.
  std::vector<double> layers = {};
};

// Loss in nats a term; NaN where there were no terms.
inline double mean_loss(const Tally& tally) {
  return tally.num_terms == 0 ? std::nan("") : tally.nats / static_cast<double>(tally.num_terms);
}

// Dropout in front of a task's head is keyed by this place; a phase has one such head.
inline constexpr std::uint64_t kHeadPlace = std::uint64_t{1} << 30;

// Rows of the sequences' first tokens.
inline std::vector<std::int32_t> first_rows(const Batch& batch) {
  return {batch.starts.begin(), batch.starts.end() - 1};
}

// Rows of the sequences' last tokens.
inline std::vector<std::int32_t> last_rows(const Batch& batch) {
  std::vector<std::int32_t> rows;
  for (std::size_t b = 1; b < batch.starts.size(); ++b) rows.push_back(batch.starts[b] - 1);
  return rows;
}

// What an objective learns from: sequences made for it (Batch::kinds_B); empty: all of a batch. It
// is the whole batch, too, where samples do not take turns.
using OfKind = std::optional<SampleKind>;
inline bool is_of(const Batch& batch, std::size_t sequence, OfKind kind) {
  return !kind || batch.kinds_B.empty() || batch.kinds_B[sequence] == *kind;
}

// A head with its loss: forward pass, loss, and (when the pass trains) the head's whole backward
// pass at once, which is possible because the gradient's scale is known before: 1 / (terms of the
// whole step), times the objective's weight.
template <class Real>
class Objective {
 public:
  virtual ~Objective() = default;

  virtual std::string name() const = 0;

  // Terms that a micro-batch adds to the loss' denominator.
  virtual std::int64_t num_terms(const Batch& batch) const = 0;

  // hidden_NC are the final hidden states. When the pass trains, adds gradient_scale × gradient of
  // the summed loss (with R-Drop: nats + r_drop × divergence, of the terms of one copy) to
  // dhidden_NC and writes the head's parameter gradients. Collective over the tensor-parallel
  // ranks; all return the same.
  virtual Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
                    float gradient_scale) = 0;

  // What a task's head makes of each sequence, from the final hidden states of a pass that does not
  // train; reads no labels. Collective over the tensor-parallel ranks; all return the same. What is
  // no task predicts nothing of sequences.
  virtual std::vector<Prediction> predict(const Pass&, Tensor2<const Real>) {
    broken_promise(__FILE__, __LINE__, "predict() of " + name());
  }

  // The tally of predictions that several models made together, as an evaluation has of the own
  // ones. Of classification, regression and several labels.
  virtual Tally judge(const std::vector<Prediction>&, const Batch&) const {
    broken_promise(__FILE__, __LINE__, "judge() of " + name());
  }

  // Distillation; only of those whose output is a softmax. What this head, as a teacher's, says of
  // the rows that it classifies, from a pass that does not train; valid as long as the pass. Its
  // temperature and weight are the caller's to set.
  virtual SoftTargets teach(const Pass&, Tensor2<const Real> /*hidden_NC*/) {
    broken_promise(__FILE__, __LINE__, "teach() of " + name());
  }
  // What training passes from now on learn from besides the labels.
  virtual void learn_from(SoftTargets) {
    broken_promise(__FILE__, __LINE__, "learn_from() of " + name());
  }

  // Language models alone: logits of chosen rows over this tensor-parallel rank's part of the
  // vocabulary, which is `vocabulary`; logits_MV has as many columns.
  virtual Split vocabulary() const { return {}; }
  virtual void logits(const Pass&, Tensor2<float> /*logits_MV*/, Tensor2<const Real> /*hidden_NC*/,
                      const std::vector<std::int32_t>& /*rows_M*/) const {
    POLYPHASE_PROMISE(false, "{} generates nothing", name());
  }

  // Metrics of a data set from its summed tally, for instance {"loss", "accuracy"}. Loss in nats a
  // term.
  virtual std::map<std::string, double> metrics(const Tally& total) const = 0;
};

}  // namespace polyphase
