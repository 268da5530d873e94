// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace polyphase {

// To be called before Kokkos starts: ranks of a node take its devices in turn. SystemError where
// the program was built for devices and there is none. Nothing to do on the host.
void choose_device();

}  // namespace polyphase
