// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// Copies from the host into the execution space's memory by way of pinned memory and returns while
// that goes on, with `from` free again; what is launched on exec.space afterwards sees the copy.
// False, and nothing done, where copies do not go that way: on the host, and of many bytes.
bool stage_to_device(const Exec& exec, void* to, const void* from, std::size_t num_bytes);

}  // namespace polyphase
