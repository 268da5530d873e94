// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <cstdlib>

#include "base/error.hpp"
#include "kernels/devices.hpp"

namespace polyphase {

// Kokkos finds out by itself only which of Open MPI's, MVAPICH's or srun's ranks this is.
void choose_device(int rank_of_node) {
  int num_devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&num_devices);
  if (found != cudaSuccess || num_devices == 0) {
    fail<SystemError>(
        "this program was built for CUDA devices, and there is none here ({}); start it where "
        "there is one, or use the build for the host",
        found == cudaSuccess ? "none is visible" : cudaGetErrorString(found));
  }
  for (const char* chosen : {"KOKKOS_DEVICE_ID", "KOKKOS_NUM_DEVICES", "KOKKOS_VISIBLE_DEVICES",
                             "KOKKOS_MAP_DEVICE_ID_BY"})
    if (std::getenv(chosen) != nullptr) return;
  setenv("KOKKOS_DEVICE_ID", fmt::format("{}", rank_of_node % num_devices).c_str(), 1);
}

}  // namespace polyphase
