// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "optimizer/element_rules.hpp"

namespace polyphase {

// Rules that look at a whole tensor: its norms, the means of its rows, its singular vectors.

// LAMB (You et al., 2020, algorithm 2, φ the identity): the step's length is the learning rate
// times the norm of the parameter, or the rate times the direction's own length while one of the
// norms is 0, and, as in its authors' code, for biases and norms.
class LambRule final : public UpdateRule {
 public:
  explicit LambRule(const recipe::Optimizer& settings) : settings_(settings) {}
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter&) const override { return false; }
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  void update_one(const Exec& exec, const Communicator& tensor, const UpdateTensors& tensors,
                  const UpdateNumbers& numbers) const;
  recipe::Optimizer settings_;
};

// Adafactor without momentum (Shazeer and Stern, 2018, algorithms 4 and 5): second moments of
// matrices are kept as one number a row and one a column, with decay 1 - t^-0.8; a direction whose
// root mean square is above 1 is scaled to 1; steps are relative to the parameter's root mean
// square (at least 1e-3). The schedule takes the place of the paper's relative step size; weight
// decay is decoupled.
class AdafactorRule final : public UpdateRule {
 public:
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter&) const override { return false; }
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  void update_one(const Exec& exec, const Communicator& tensor, const UpdateTensors& tensors,
                  const UpdateNumbers& numbers) const;
  void factored(const Exec& exec, const Communicator& tensor, const UpdateTensors& tensors,
                const UpdateNumbers& numbers, Tensor1<float> direction) const;
};

// Muon (Jordan et al., 2024) for the weights of the layers' products: an average of gradients is
// replaced by the nearest matrix with singular values near 1 and scaled by 0.2 · √(longer side), so
// that its elements are as large as AdamW's (Liu et al., 2025, "Muon is scalable for LLM training",
// section 2.2). All other parameters go by AdamW with the same learning rate and decay. A split
// matrix is put together first, and every rank makes the whole direction: the result is that of one
// rank.
class MuonRule final : public UpdateRule {
 public:
  explicit MuonRule(const recipe::Optimizer& settings)
      : settings_(settings), others_(settings, AdamRule::Decay::kDecoupled) {}
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter& parameter) const override;
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  void update_one(const Exec& exec, const Communicator& tensor, const UpdateTensors& tensors,
                  const UpdateNumbers& numbers) const;
  recipe::Optimizer settings_;
  AdamRule others_;
};

}  // namespace polyphase
