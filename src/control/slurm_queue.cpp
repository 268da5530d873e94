// SPDX-License-Identifier: Apache-2.0
#include "control/slurm_queue.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>
#include <system_error>

#include "base/error.hpp"

namespace polyphase {
namespace {

struct Answer {
  int status = 127;  // exit status; 127: it could not be started
  std::string out, err;
};

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t num = ::read(descriptor, piece.data(), piece.size());
    if (num > 0) text.append(piece.data(), static_cast<std::size_t>(num));
    if (num == 0 || (num < 0 && errno != EINTR)) break;
  }
  return text;
}

// Runs a program of Slurm and waits for it. What it says of errors goes through a file: with two
// pipes, one that is full could stop it for ever.
Answer ask(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> out = {-1, -1};
  std::FILE* err = std::tmpfile();
  if (err == nullptr || ::pipe2(out.data(), O_CLOEXEC) != 0)
    fail<SystemError>("cannot start {}: {}", words.front(), std::generic_category().message(errno));
  for (char** variable = environ; *variable != nullptr;) {
    const std::string name(*variable, std::strcspn(*variable, "="));
    // A person's filters of what squeue shows.
    if (name.starts_with("SQUEUE_") && ::unsetenv(name.c_str()) == 0) continue;
    ++variable;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(err), STDERR_FILENO);
  pid_t child = 0;
  Answer answer;
  const int error =
      posix_spawnp(&child, words.front().c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  if (error == 0) {
    answer.out = read_all(out[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    answer.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::rewind(err);
    answer.err = read_all(fileno(err));
  }
  ::close(out[0]);
  std::fclose(err);
  return answer;
}

// Where there is no Slurm, that is said first.
Answer ask_slurm(const std::vector<std::string>& command) {
  Answer answer = ask(command);
  if (answer.status == 127 && answer.out.empty()) {
    fail<SystemError>(
        "cannot start {}: it is not on the PATH; submit where Slurm is, or see the scripts with "
        "--dry-run",
        command.front());
  }
  return answer;
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

bool is_live(const QueuedJob& job) {
  static const std::set<std::string> ended = {"COMPLETED", "CANCELLED",     "FAILED",    "TIMEOUT",
                                              "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE",
                                              "PREEMPTED", "REVOKED"};
  return ended.count(job.state) == 0;
}

std::string own_cluster() {
  if (const char* name = std::getenv("SLURM_CLUSTER_NAME")) return name;  // of a job
  std::istringstream lines(ask({"scontrol", "show", "config"}).out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key, equals, name;
    if (words >> key >> equals >> name && key == "ClusterName") return name;
  }
  return "";
}

Queue read_queue(const std::vector<std::string>& ids) {
  std::set<std::string> numbers;
  for (const std::string& id : ids) numbers.insert(id.substr(0, id.find('_')));
  if (numbers.empty()) return {.known = true, .jobs = {}};
  const Answer answer =
      ask({"squeue", "--all", "--noheader", "--array", "--states=all",
           fmt::format("--jobs={}", fmt::join(numbers, ",")), "--format=%i|%T|%r"});
  // All of them so old that Slurm has forgotten them is an error too.
  Queue queue = {
      .known = answer.status == 0 || answer.err.find("Invalid job id") != std::string::npos,
      .jobs = {}};
  std::istringstream lines(answer.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id;
    QueuedJob job;
    std::getline(fields, id, '|');
    std::getline(fields, job.state, '|');
    std::getline(fields, job.reason);
    queue.jobs[id] = job;
  }
  return queue;
}

std::vector<std::string> find_queued(const std::string& comment) {
  const Answer answer =
      ask_slurm({"squeue", "--all", "--noheader", "--array", "--me", "--format=%i|%T %r|%k"});
  if (answer.status != 0) {
    fail<SystemError>("squeue does not answer ({}): {}; submit again when it does", answer.status,
                      one_line(answer.err));
  }
  std::vector<std::string> found;
  std::istringstream lines(answer.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, state, own;
    std::getline(std::getline(fields, id, '|'), state, '|');
    std::getline(fields, own);
    const bool comes_to_nothing = state.starts_with("COMPLETING") ||
                                  state.find("DependencyNeverSatisfied") != std::string::npos;
    if (own == comment && !comes_to_nothing) found.push_back(id);
  }
  return found;
}

std::string submit_script(const std::vector<std::string>& command) {
  const Answer answer = ask_slurm(command);
  std::string id = one_line(answer.out);
  if (answer.status != 0 || id.empty()) {
    fail<SystemError>("{} said no ({}): {}", fmt::join(command, " "), answer.status, answer.err);
  }
  return id;
}

}  // namespace polyphase
