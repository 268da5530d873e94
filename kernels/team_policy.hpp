// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/tensor.hpp"

namespace polyphase {

// Launches pass what a kernel captured as its arguments. Without the hint Kokkos passes more than
// 512 bytes through constant memory, which it has once: each such launch then waits on the host
// until the one before has ended on the device, and the host never runs ahead.
using TeamPolicy =
    Kokkos::TeamPolicy<Space, Kokkos::Experimental::WorkItemProperty::HintLightWeight_t>;

}  // namespace polyphase
