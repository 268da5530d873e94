// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/cross_entropy.hpp"
#include "objective/linear_head.hpp"
#include "objective/objective.hpp"
#include "objective/soft_targets.hpp"

namespace polyphase {

// How the cross-entropies of rows become a loss; the mean is over rows whatever they weigh.
struct SoftmaxLoss {
  float label_smoothing = 0.0F;      // as in SoftmaxTarget
  std::vector<float> class_weights;  // a row weighs what its label does; empty: all weigh 1
  std::vector<float> row_weights_M;  // and this times it; empty: once
  SoftTargets soft;                  // of a teacher; without logits: none. Every row weighs 1
  bool is_soft() const { return static_cast<bool>(soft.logits); }
};

// The loss as a pass counts it: labels are smoothed for training alone, so that evaluations give
// the cross-entropy, and a perplexity, that other tools give.
SoftmaxLoss loss_of(const Pass& pass, SoftmaxLoss loss);

// Cross-entropy of M rows as a person counts it.
struct SoftmaxOutcome {
  double nats = 0;                   // loss, summed over rows with a label, in row order
  std::int64_t num_terms = 0;        // rows with a label (≥ 0)
  std::int64_t num_correct = 0;      // of them, where the best class is the label
  std::vector<std::int32_t> best_M;  // class with the largest logit, of every row
  Tensor1<const float> log_sum_M;    // for the gradient, in the arena
  SoftmaxTarget target;              // for the gradient, in the arena
  double divergence = 0;             // with R-Drop, as Tally's
};

// With the correct terms as the only count.
Tally tally_of(const SoftmaxOutcome& outcome);

// Takes the statistics that the loss needs in the arena for M rows, side by side, ready for the
// first block of logits.
SoftmaxStats begin_softmax(const Exec& exec, std::int64_t num_rows, const SoftmaxLoss& loss = {});

// Ends a softmax that was begun above and whose logits have all been added. With a vocabulary that
// is split over `tensor` ranks, combines their statistics (the largest logit of all, sums rescaled
// to it); otherwise pass nullptr. num_classes is that of the whole vocabulary, which only smoothed
// labels need.
SoftmaxOutcome finish_softmax(const Exec& exec, const SoftmaxStats& stats,
                              const std::vector<std::int32_t>& labels_M, const Communicator* tensor,
                              const SoftmaxLoss& loss = {}, std::int64_t num_classes = 0);

// A linear classifier of few classes with its cross-entropy.
class SoftmaxHead {
 public:
  SoftmaxHead(ParameterSet& parameters, const Communicator& tensor, const std::string& name,
              std::int64_t width, std::int64_t num_classes,
              const std::optional<recipe::Ngrams>& ngrams = {});

  // x_MC: its rows' inputs. When the pass trains, overwrites dx_MC with gradient_scale × the
  // gradient of the summed loss and writes the head's gradients. Labels < 0 do not count. In a pass
  // with R-Drop the first 2 · num_pairs rows are the pairs.
  template <class Real>
  SoftmaxOutcome run(const Pass& pass, Tensor2<const Real> x_MC, Tensor2<float> dx_MC,
                     const std::vector<std::int32_t>& labels_M, float gradient_scale,
                     const SoftmaxLoss& loss = {}, std::int64_t num_pairs = 0);

  // What this head says of x_MC's rows, which must stay where they are, to a student's.
  template <class Real>
  SoftTargets teach(const Pass& pass, Tensor2<const Real> x_MC) const;

  // Probabilities of every class, row by row, on the host.
  template <class Real>
  std::vector<double> probabilities(const Pass& pass, Tensor2<const Real> x_MC) const;

 private:
  LinearHead output_;
};

}  // namespace polyphase
