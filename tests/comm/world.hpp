// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"

namespace polyphase {

// All ranks of the test program; its main function sets it.
extern const Communicator* world;

}  // namespace polyphase
