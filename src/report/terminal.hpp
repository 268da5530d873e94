// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

namespace polyphase::report {

// Width to write lines for where no terminal tells one, in characters.
inline constexpr int kDefaultColumns = 100;

// Width of the terminal on which a person sees what is written to `descriptor`; none when that is a
// file or a log. Under Open MPI's mpirun every rank writes to a pipe: then the terminal is the one
// that mpirun itself writes errors to, if it runs on this machine.
std::optional<int> terminal_columns(int descriptor);

}  // namespace polyphase::report
