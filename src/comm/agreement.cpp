// SPDX-License-Identifier: Apache-2.0
#include "comm/agreement.hpp"

#include <vector>

namespace polyphase {

void agree_on(const Communicator& ranks, const std::function<void()>& work) {
  std::string message;
  std::int64_t code = 0;
  try {
    work();
  } catch (const Error& error) {
    message = error.what();
    code = static_cast<std::int64_t>(exit_code_of(error));
  }
  const std::vector<std::int64_t> codes = ranks.gather(std::vector{code});
  ExitCode first = ExitCode::kDone;
  for (const std::int64_t other : codes) {
    if (first == ExitCode::kDone) first = static_cast<ExitCode>(other);
  }
  if (first == ExitCode::kDone) return;
  const std::vector<std::string> messages = ranks.gather(message);
  std::string all;
  for (std::size_t rank = 0; rank < messages.size(); ++rank) {
    if (codes[rank] == 0 || all.find(messages[rank]) != std::string::npos)
      continue;  // said already
    all += (all.empty() ? "" : "\n") +
           (rank == 0 ? messages[rank] : fmt::format("[rank {}] {}", rank, messages[rank]));
  }
  throw AgreedError(all, first);
}

std::string from_rank_0(const Communicator& ranks, const std::function<std::string()>& work) {
  std::string text;
  agree_on(ranks, [&] {
    if (ranks.rank() == 0) text = work();
  });
  return ranks.broadcast(text);
}

}  // namespace polyphase
