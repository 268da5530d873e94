// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"

// The job that all ranks are of, as any thread of a rank may see it.
namespace polyphase {

// Whether this rank is inside a call that waits for others, and how many it has come back from.
bool waits_for_ranks();
std::int64_t num_waits_for_ranks();

// A batch script that names a file (POLYPHASE_OUTCOME) learns there that the program runs, and how
// it ended. What srun returns may be the status of a rank that it killed, or 0 where it could not
// start any.
void tell_outcome(const std::string& outcome);

// Ends all ranks at once with this exit code. The one call of MPI that a thread beside the main one
// makes: its own waits for others, and the job is over.
[[noreturn]] void abort_job(ExitCode code);

}  // namespace polyphase
