// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optimizer/treatment.hpp"
#include "optimizer/update_rule.hpp"

namespace polyphase {

// A state tensor of one parameter, as a checkpoint holds it beside the parameters.
struct StateTensor {
  std::string name;           // "moment1/layers.0.attention.query.weight"
  std::size_t parameter = 0;  // its number
  std::vector<std::int64_t> global_shape, local_shape;
  int split_dimension = -1;            // -1: every tensor-parallel rank holds the whole
  std::int64_t begin = 0;              // of this rank's part along split_dimension
  std::int64_t offset = 0, count = 0;  // elements of the optimizer's storage
  Tensor1<float> values;               // empty until the optimizer is allocated
};

// Updates the trained parameters of a phase by one rule, each treated as its phase asks. State
// exists for those parameters alone that the phase trains at some step.
class Optimizer {
 public:
  // Plans; `tensor` is the group of ranks that the parameters are split over, and must live on.
  Optimizer(const ParameterSet& parameters, const recipe::Phase& phase, const Communicator& tensor);

  // Makes the state, all zeros. Until then only what plans may be called.
  void allocate();
  std::int64_t state_bytes() const;
  // Of the arena that update() works in.
  std::size_t plan_arena_bytes(ParameterSet& parameters) const;

  // Bias corrections go on from these numbers of updates that parameters had before this phase, by
  // name: whoever fills their state tells it here.
  void go_on_from(const ParameterSet& parameters,
                  const std::map<std::string, std::int64_t>& updates);

  // Marks which parameters this step (counted from 0) trains. To be called before its gradients are
  // computed.
  void begin_step(ParameterSet& parameters, std::int64_t step) const;
  // Collective over the tensor group. Gradients are multiplied with gradient_scale first.
  void update(const Exec& exec, ParameterSet& parameters, Tensor1<const float> gradients,
              double learning_rate, double gradient_scale, std::int64_t step) const;

  const std::vector<StateTensor>& state() const { return state_; }

 private:
  // One trained parameter; its state tensors are num_states from first_state on.
  struct Trained {
    std::size_t number = 0;
    Treatment treatment;
    std::size_t first_state = 0, num_states = 0;
    std::int64_t num_updates_before = 0;  // this phase
  };

  const Communicator& tensor_;
  std::unique_ptr<UpdateRule> rule_;
  std::vector<Treatment> treatments_;
  std::vector<Trained> trained_;
  std::vector<StateTensor> state_;
  std::int64_t total_count_ = 0;
  Kokkos::View<float*, Memory> storage_;
};

}  // namespace polyphase
