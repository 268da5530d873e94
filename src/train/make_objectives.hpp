// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/body.hpp"
#include "objective/objective.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// What a phase's heads need to know of its data.
struct PhaseData {
  std::int64_t vocab_size = 0;
  std::vector<std::string> label_names;  // classes, labels or tags; empty where there are none
};

template <class Real>
struct WeightedObjective {
  std::unique_ptr<Objective<Real>> objective;
  double weight = 1.0;
};

// The heads with their losses that the phase's objectives or task ask for, in the order of their
// names. Declares their parameters, behind the body's. A new objective or task is one line here.
template <class Real>
std::vector<WeightedObjective<Real>> make_objectives(ParameterSet& parameters,
                                                     const Communicator& tensor,
                                                     const recipe::Recipe& recipe,
                                                     const recipe::Phase& phase,
                                                     const PhaseData& data, const Body<Real>& body);

}  // namespace polyphase
