// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"

namespace polyphase {

// The ranks of this test program.
inline const Communicator* test_world = nullptr;

}  // namespace polyphase
