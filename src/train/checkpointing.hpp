// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "optimizer/optimizer.hpp"

namespace polyphase {

// Fills parameters and optimizer state, written on any layout. Tensors must be the same by name and
// shape.
void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const Optimizer& optimizer);

// What a phase took over from the one before, by parameter name.
struct HandOver {
  std::vector<std::string> carried;  // same name and shape
  std::vector<std::string> fresh;    // of this phase alone: initialised anew
  std::vector<std::string> left;     // of the earlier phase alone
};

// Fills those parameters that the checkpoint has too.
HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters);

}  // namespace polyphase
