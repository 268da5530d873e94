// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/stage_links.hpp"
#include "kernels/exec.hpp"
#include "model/parameters.hpp"

// Parameters that several stages of a pipeline have. Each adds its part of the gradient to that of
// the stages behind it, and the first one, which owns the parameter, has all of it: the order of
// one rank's backward pass, so that a pipeline changes no bit. Of those alone that are trained; in
// passes that are counted nothing is sent, and `links` may be nullptr where there is one stage.
namespace polyphase {

// In front of a micro-batch's backward pass: what the stages behind have made.
void receive_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links);
// Behind it: that with this stage's part, to the stage before.
void send_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links);
// After an update: the owner's values to the others, of which this waits for the last.
void share_values(const Exec& exec, const ParameterSet& parameters, StageLinks* links);

}  // namespace polyphase
