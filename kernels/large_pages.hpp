// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace polyphase {

// Asks the system for large pages behind memory that is walked through in every step, before it is
// first touched: fewer of them are made, and looked up. Does nothing where tensors lie in a
// device's memory.
void use_large_pages(void* data, std::size_t num_bytes);

}  // namespace polyphase
