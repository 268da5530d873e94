// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace polyphase {

// An error that every rank of the job has thrown alike, so that rank 0 alone speaks and all exit
// together.
struct AgreedError : Error {
  AgreedError(const std::string& message, ExitCode exit_code) : Error(message), code(exit_code) {}
  ExitCode code;
};

// Runs `work` on every rank of the group; when it throws an Error on any of them, all throw one
// AgreedError with the messages of those that failed and the first one's exit code. Work that
// communicates must not be given here.
void agree_on(const Communicator& ranks, const std::function<void()>& work);

// Runs `work` on rank 0 alone and gives its text to all; its Error is thrown on all, as above.
std::string from_rank_0(const Communicator& ranks, const std::function<std::string()>& work);

}  // namespace polyphase
