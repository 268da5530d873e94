// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "optimizer/update_rule.hpp"

namespace polyphase {

// Rules that look at one element at a time: a split over ranks changes nothing.

// Gradient descent with momentum or without; weight decay is an L2 penalty, in the gradient.
class SgdRule final : public UpdateRule {
 public:
  explicit SgdRule(const recipe::Optimizer& settings) : settings_(settings) {}
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter&) const override { return true; }
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  recipe::Optimizer settings_;
};

// Adam and AdamW, which differ in where weight decay goes: into the gradient, or past it.
class AdamRule final : public UpdateRule {
 public:
  enum class Decay { kInGradient, kDecoupled };
  AdamRule(const recipe::Optimizer& settings, Decay decay) : settings_(settings), decay_(decay) {}
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter&) const override { return true; }
  bool rounds_state() const override {
    return settings_.state_precision == recipe::Precision::kBf16;
  }
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  template <class Moment>
  void update_in(const Exec& exec, const std::vector<ParameterUpdate>& updates) const;

  recipe::Optimizer settings_;
  Decay decay_;
};

class LionRule final : public UpdateRule {
 public:
  explicit LionRule(const recipe::Optimizer& settings) : settings_(settings) {}
  std::vector<StateSpec> state_of(const Parameter& parameter) const override;
  bool is_element_wise(const Parameter&) const override { return true; }
  void update(const Exec& exec, const Communicator& tensor,
              const std::vector<ParameterUpdate>& updates) const override;

 private:
  recipe::Optimizer settings_;
};

}  // namespace polyphase
