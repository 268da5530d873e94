// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <optional>
#include <thread>

#include "base/log.hpp"
#include "cli/command_line.hpp"
#include "comm/agreement.hpp"
#include "comm/job.hpp"
#include "comm/session.hpp"
#include "control/run_folder.hpp"
#include "kernels/devices.hpp"
#include "train/stop_request.hpp"

namespace polyphase {
namespace {

// A rank that is not told its number of threads shares the node's processors with the other ranks
// of its node.
void choose_threads(int num_ranks_of_node) {
  // Whoever starts the ranks binds them. Unset, Kokkos would give every user its advice on this.
  setenv("OMP_PROC_BIND", "false", 0);
  if (std::getenv("OMP_NUM_THREADS") != nullptr || std::getenv("KOKKOS_NUM_THREADS") != nullptr)
    return;
  const int processors = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cpu_set_t allowed;
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  const int own = known ? CPU_COUNT(&allowed) : processors;
  // A rank that its launcher has bound to some processors has those for itself.
  const int threads = own < processors ? own : std::max(1, processors / num_ranks_of_node);
  setenv("KOKKOS_NUM_THREADS", fmt::format("{}", threads).c_str(), 1);
}

bool names(int argc, char** argv, std::initializer_list<const char*> commands) {
  return argc > 1 && std::any_of(commands.begin(), commands.end(), [&](const char* command) {
           return std::string(argv[1]) == command;
         });
}

// Commands that ask files and Slurm only go without MPI: it need not work where people log in, and
// it would leave variables in the environment that submitted jobs inherit.
bool goes_without_mpi(int argc, char** argv) {
  for (const char* launcher : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(launcher) != nullptr) return false;
  }
  return names(argc, argv, {"status", "submit"});
}

// What is wrong with the command's name, in words; empty when it is one of ours (or an option).
std::string fault_of_command(CLI::App& app, int argc, char** argv) {
  const std::string given = argc > 1 ? argv[1] : "";
  if (given.starts_with("-")) return "";
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), given) != names.end()) return "";
  const std::string known = fmt::format("commands: {}", fmt::join(names, ", "));
  if (given.empty()) return "no command given; " + known;
  const std::string meant = nearest(given, names);
  return fmt::format("unknown command \"{}\"; {}{}", given,
                     meant.empty() ? "" : fmt::format("did you mean \"{}\"? ", meant), known);
}

int parse_and_run(int argc, char** argv, const Communicator& world, const MpiSession* session) {
  CLI::App app("Polyphase trains transformer language models in phases.");
  app.set_version_flag("--version", program_version());
  CommandLine line;
  line.plan.num_ranks = world.size();
  describe_commands(app, line, world);
  describe_model_commands(app, line, world);
  if (const std::string fault = fault_of_command(app, argc, argv); !fault.empty()) {
    throw AgreedError(fault + "; --help tells more", ExitCode::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = world.rank() == 0 ? app.exit(error) : error.get_exit_code();
    return code == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  if (session == nullptr) return static_cast<int>(line.command());
  const MpiSession::RankOfNode place = session->rank_of_node();
  choose_threads(place.size);
  choose_device(place.rank);
  int kokkos_argc = 1;  // the command line is ours alone
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  return static_cast<int>(line.command());
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  using namespace polyphase;
  if (names(argc, argv, {"run", "prepare"})) remember_stop_signals();
  std::optional<MpiSession> session;
  if (!goes_without_mpi(argc, argv)) session.emplace(&argc, &argv);
  const Communicator alone = planning_communicator(1);
  const Communicator& world = session ? session->world() : alone;
  set_log_rank(world.rank());
  if (world.rank() == 0) tell_outcome("running");
  int code = 0;
  try {
    code = parse_and_run(argc, argv, world, session ? &*session : nullptr);
  } catch (const AgreedError& error) {  // every rank threw it
    if (world.rank() == 0) fmt::print(stderr, "{}\n", error.what());
    code = static_cast<int>(error.code);
  } catch (
      const std::exception& error) {  // perhaps this rank alone: the others must not wait for it
    fmt::print(stderr, "{}{}\n", world.size() > 1 ? fmt::format("[rank {}] ", world.rank()) : "",
               error.what());
    code = static_cast<int>(exit_code_of(error));
    if (world.size() > 1) session->abort(exit_code_of(error));
  }
  if (world.rank() == 0) tell_outcome(fmt::format("{}", code));
  return code;
}
