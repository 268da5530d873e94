// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "optimizer/adamw_optimizer.hpp"

namespace polyphase {

// Saves parameters ("parameters/NAME") and optimizer state ("optimizer/moment1/NAME" …) as
// checkpoint `step` of `folder`, then keeps the newest `keep`. Collective over all ranks. Every
// rank is a writer: a data-parallel copy of the model writes each tensor once, dealt to the data
// ranks in turn. Errors of any rank are thrown on all of them.
void save_checkpoint(const std::filesystem::path& folder, std::int64_t step, int keep,
                     const nlohmann::json& state, const ParameterSet& parameters,
                     const AdamWOptimizer& optimizer, const Communicator& world,
                     const RankGrid& grid);

// Fills parameters and optimizer state, written on any layout. Tensors must be the same by name and
// shape.
void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const AdamWOptimizer& optimizer);

// What a phase took over from the one before, by parameter name.
struct HandOver {
  std::vector<std::string> carried;  // same name and shape
  std::vector<std::string> fresh;    // of this phase alone: initialised anew
  std::vector<std::string> left;     // of the earlier phase alone
};

// Fills those parameters that the checkpoint has too.
HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters);

}  // namespace polyphase
