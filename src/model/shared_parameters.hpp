// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/stage_links.hpp"
#include "kernels/exec.hpp"
#include "model/parameters.hpp"

// Parameters that several chunks of a pipeline use. Each adds its part of the gradient to that of
// the chunks behind it, and the first one, whose stage owns the parameter, has all of it: the order
// of one rank's backward pass, so that a pipeline changes no bit. Of those alone that are trained;
// in passes that are counted nothing is sent, and `links` may be nullptr where there is one stage.
namespace polyphase {

// In front of a backward pass of the chunk that is begun: what the chunks behind have made.
void receive_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links);
// Behind it: that with this chunk's part, to the chunk before.
void send_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links);
// After an update: the owner's values to the stages that have copies.
void share_values(const Exec& exec, const ParameterSet& parameters, StageLinks* links);

}  // namespace polyphase
