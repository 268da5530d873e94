// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/bf16.hpp"
#include "model/parameters.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Which elements a state tensor has: those of the parameter, or one a row or a column of a matrix.
enum class StateExtent { kWhole, kRows, kColumns };

// A tensor that a rule keeps from step to step. It starts as zeros.
struct StateSpec {
  const char* name;  // on disk: never rename
  StateExtent extent = StateExtent::kWhole;
};

// This rank's part of one parameter and of what its rule keeps, in the order of state_of(); or, if
// it is element-wise, any elements of these.
struct UpdateTensors {
  const Parameter& parameter;
  Tensor1<float> value;
  Tensor1<const float> gradient;
  // In float, or of a rule that rounds its state in bf16: the other is empty.
  std::vector<Tensor1<float>> state;
  std::vector<Tensor1<bf16>> rounded_state;
  std::int64_t first_element = 0;  // number of the first in the parameter's part
};

// The numbers of one update of one parameter.
struct UpdateNumbers {
  double learning_rate = 0;
  double weight_decay = 0;
  double gradient_scale = 1;  // gradients are multiplied with it first: clipping
  std::int64_t count = 1;     // of the parameter's updates, with this one
  // Likewise of those that its mean of squares has seen, which may have begun later.
  std::int64_t squares_count = 1;
  std::uint64_t rounding_key = 0;  // of count and the parameter
};

struct ParameterUpdate {
  UpdateTensors tensors;
  UpdateNumbers numbers;
};

// How one kind of optimizer changes parameters. A rule itself remembers nothing: what it needs
// from step to step is in the state tensors that it names. Workspaces come from exec.arena; a
// counting exec takes them and sends nothing. Norms and means of a split parameter are those of the
// whole, summed over `tensor` in the order of its ranks: all of them get the same.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual std::vector<StateSpec> state_of(const Parameter& parameter) const = 0;
  // Whether each element is changed by itself, so that some of them may be updated alone.
  virtual bool is_element_wise(const Parameter& parameter) const = 0;
  // Whether all state is kept in bf16, rounded at random by the rule.
  virtual bool rounds_state() const { return false; }
  // Of a step all at once, so that those which are element-wise need no launch each.
  virtual void update(const Exec& exec, const Communicator& tensor,
                      const std::vector<ParameterUpdate>& updates) const = 0;
};

// The rule of settings.kind.
std::unique_ptr<UpdateRule> make_update_rule(const recipe::Optimizer& settings);

}  // namespace polyphase
