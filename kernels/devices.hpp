// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace polyphase {

// To be called before Kokkos starts, by the rank_of_node-th of the ranks that share a node: they
// take its devices in turn, unless one of Kokkos's own environment variables says which.
// SystemError where the program was built for devices and there is none. Nothing to do on the host.
void choose_device(int rank_of_node);

}  // namespace polyphase
