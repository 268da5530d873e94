// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"

// The job that all ranks are of, as any thread of a rank may see it.
namespace polyphase {

// Whether this rank is inside a call that waits for others.
bool waits_for_ranks();

// Ends all ranks at once with this exit code.
[[noreturn]] void abort_job(ExitCode code);

}  // namespace polyphase
