// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "io/checkpoint.hpp"
#include "optimizer/convert_state.hpp"
#include "optimizer/optimizer.hpp"
#include "recipe/adaptation.hpp"
#include "train/weight_average.hpp"

namespace polyphase {

// Fills parameters, optimizer state and, where there is one, the average, written on any layout.
// Tensors must be the same by name and shape.
void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const Optimizer& optimizer, WeightAverage* average);

// What a phase took over from the one before, by parameter name.
struct HandOver {
  std::vector<std::string> carried;  // same name and shape
  // Names of layers that were filled from another layer, with the names that these had there.
  std::map<std::string, std::string> copied;
  std::vector<std::string> zeroed;  // of new layers that are to change nothing
  std::vector<std::string> merged;  // of the carried and copied: with their low-rank additions
  std::vector<std::string> fresh;   // of this phase alone: initialised anew
  std::vector<std::string> left;    // of the earlier phase alone
  // Parameters whose optimizer state was kept, with the updates that they had before this phase.
  std::map<std::string, std::int64_t> kept_updates;
  // Of these, those whose means of squares have seen other numbers of updates.
  std::map<std::string, std::int64_t> square_updates;
  std::vector<std::string> state;  // what their state was made of, a line a parameter
};

// What a model that is taken over goes through.
struct HandOverRules {
  recipe::Growth growth = recipe::Growth::kNone;  // where the number of layers differs
  // alpha / rank of the checkpoint's low-rank additions: they are added to their weights, and no
  // addition is carried. 0: additions are parameters like all others.
  double adapter_scale = 0;
};

// Fills those parameters that the checkpoint has too: with their averages where it has these, which
// are what a phase hands over and is used with.
HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters,
                   const HandOverRules& rules = {});

// Fills the optimizer's state of those parameters of which the checkpoint has all of it, in the
// same shapes; their names, with those that they have in the checkpoint.
std::map<std::string, std::string> take_over_state(const std::filesystem::path& folder,
                                                   const ParameterSet& parameters,
                                                   const Optimizer& optimizer,
                                                   const HandOverRules& rules = {});

// A trained parameter, with what the checkpoint has of its state: nothing where it does not have
// the parameter in this shape, or that begins anew.
struct StoredState {
  const Parameter& parameter;
  std::string source;  // the parameter's name in the checkpoint
  WholeState tensors;
  std::vector<std::string> wanted;  // names of the optimizer's own tensors
};

// Fills the optimizer's state with what convert() makes of a checkpoint's. It is called for each
// trained parameter; what it does not give stays zero.
void take_over_state(const std::filesystem::path& folder, const ParameterSet& parameters,
                     const Optimizer& optimizer, const HandOverRules& rules,
                     const std::function<WholeState(const StoredState&)>& convert);

// Names of all parameters of a checkpoint.
std::vector<std::string> parameters_of(const std::filesystem::path& folder);

// All of a parameter as the phase hands it over, row-major: its average where there is one, with
// its low-rank addition unless adapter_scale is 0.
std::vector<float> read_result(CheckpointReader& reader, const std::string& parameter,
                               double adapter_scale);

}  // namespace polyphase
