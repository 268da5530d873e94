// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <Kokkos_Core.hpp>
#include <cstdlib>

#include "base/error.hpp"
#include "kernels/devices.hpp"

namespace polyphase {

void choose_device() {
  int num_devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&num_devices);
  if (found != cudaSuccess || num_devices == 0) {
    fail<SystemError>(
        "this program was built for CUDA devices, and there is none here ({}); start it where "
        "there is one, or use the build for the host",
        found == cudaSuccess ? "none is visible" : cudaGetErrorString(found));
  }
  // Kokkos 4 does it by itself, older ones when they are told how many there are.
  if (KOKKOS_VERSION < 40000)
    setenv("KOKKOS_NUM_DEVICES", fmt::format("{}", num_devices).c_str(), 0);
}

}  // namespace polyphase
