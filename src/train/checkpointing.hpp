// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "optimizer/optimizer.hpp"
#include "train/weight_average.hpp"

namespace polyphase {

// Fills parameters, optimizer state and, where there is one, the average, written on any layout.
// Tensors must be the same by name and shape.
void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const Optimizer& optimizer, WeightAverage* average);

// What a phase took over from the one before, by parameter name.
struct HandOver {
  std::vector<std::string> carried;  // same name and shape
  std::vector<std::string> fresh;    // of this phase alone: initialised anew
  std::vector<std::string> left;     // of the earlier phase alone
  // Parameters whose optimizer state was kept, with the updates that they had before this phase.
  std::map<std::string, std::int64_t> kept_updates;
};

// Fills those parameters that the checkpoint has too: with their averages where it has these, which
// are what a phase hands over and is used with.
HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters);

// Fills the optimizer's state of those parameters of which the checkpoint has all of it, in the
// same shapes; their names.
std::vector<std::string> take_over_state(const std::filesystem::path& folder,
                                         const ParameterSet& parameters,
                                         const Optimizer& optimizer);

}  // namespace polyphase
