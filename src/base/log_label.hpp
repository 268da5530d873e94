// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace polyphase {

// What stands in front of every line of the log from now on ("round 3: "), where several ranks
// speak of different things; "" for nothing.
void set_log_label(const std::string& label);

}  // namespace polyphase
