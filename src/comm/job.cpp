// SPDX-License-Identifier: Apache-2.0
#include "comm/job.hpp"

#include <mpi.h>

#include <cstdlib>

#include "comm/mpi_check.hpp"

namespace polyphase {

bool waits_for_ranks() { return WaitsForRanks::depth > 0; }

void abort_job(ExitCode code) {
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::abort();  // not reached: MPI_Abort does not return
}

}  // namespace polyphase
