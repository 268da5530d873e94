// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optimizer/shards.hpp"
#include "optimizer/state_tensor.hpp"
#include "optimizer/treatment.hpp"
#include "optimizer/update_rule.hpp"

namespace polyphase {

// Updates the trained parameters of a phase by one rule, each treated as its phase asks. State
// exists for those parameters alone that the phase trains at some step. Divided over data ranks,
// each keeps state of, and updates, what it has of the shards.
class Optimizer {
 public:
  // Plans; `tensor` is the group of ranks that the parameters are split over, and must live on.
  Optimizer(const ParameterSet& parameters, const recipe::Phase& phase, const Communicator& tensor,
            Shards shards = {});

  // Makes the state, all zeros. Until then only what plans may be called.
  void allocate();
  std::int64_t state_bytes(int data_rank = 0) const { return layout_.bytes(data_rank); }
  // Of the arena that update() works in.
  std::size_t plan_arena_bytes(ParameterSet& parameters) const;

  // Bias corrections go on from these numbers of updates that parameters had before this phase, by
  // name: whoever fills their state tells it here. `squares`: of the means of squares, where they
  // have had other numbers.
  void go_on_from(const ParameterSet& parameters,
                  const std::map<std::string, std::int64_t>& updates,
                  const std::map<std::string, std::int64_t>& squares = {});

  // Marks which parameters any step trains: passes are planned with them.
  void mark_trained(ParameterSet& parameters) const;
  // Marks which parameters this step (counted from 0) trains. To be called before its gradients are
  // computed.
  void begin_step(ParameterSet& parameters, std::int64_t step) const;
  // Collective over the tensor group. Gradients are multiplied with gradient_scale first; those of
  // what other data ranks have are not looked at.
  void update(const Exec& exec, ParameterSet& parameters, Tensor1<const float> gradients,
              double learning_rate, double gradient_scale, std::int64_t step) const;

  // Gives every data rank what the others have just updated, while the next pass begins. Collective
  // over the data group, unless nothing is divided.
  void share_updates(const Exec& exec, ParameterSet& parameters, const Communicator& data) const;

  // Of all data ranks; what this one has not, has no values.
  const std::vector<StateTensor>& state() const { return state_; }
  const Shards& shards() const { return shards_; }

 private:
  // A trained parameter, or a piece of it; its state tensors are num_states from first_state on.
  struct Trained {
    std::size_t number = 0;
    Piece piece;
    Treatment treatment;
    std::size_t first_state = 0, num_states = 0;
    std::int64_t num_updates_before = 0, num_squares_before = 0;  // this phase
  };

  // Where a tensor lies; nothing is there while the memory is only planned.
  Tensor1<float> values(const StateTensor& tensor) const;
  Tensor1<bf16> rounded_values(const StateTensor& tensor) const;

  const Communicator& tensor_;
  std::unique_ptr<UpdateRule> rule_;
  std::vector<Treatment> treatments_;
  std::vector<Trained> trained_;
  Shards shards_;
  std::vector<StateTensor> state_;
  StateLayout layout_;
  Kokkos::View<float*, Memory> storage_;  // of a rule that rounds, bf16 lies in it
};

}  // namespace polyphase
