// SPDX-License-Identifier: Apache-2.0
#include "io/run_lock.hpp"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

// Takes the lock in a child that exits without release, as one that was killed; returns when it is
// gone.
void leave_dead_lock(const std::filesystem::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    new RunLock(path);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
}

void change_lock(const std::filesystem::path& path, const nlohmann::json& changes) {
  nlohmann::json holder = nlohmann::json::parse(bytes_of(path));
  holder.update(changes);
  put_bytes(path, holder.dump());
}

TEST(RunLock, ASecondRunIsToldWhoHoldsIt) {
  const ScratchFolder folder;
  const RunLock held(folder / "lock");
  const std::string message = message_of<SystemError>([&] { RunLock second(folder / "lock"); });
  EXPECT_TRUE(contains(message, (folder / "lock").string())) << message;
  EXPECT_TRUE(contains(message, "process " + std::to_string(::getpid()))) << message;
  EXPECT_TRUE(contains(message, "delete this file")) << message;
}

TEST(RunLock, EndsWithItsOwner) {
  const ScratchFolder folder;
  { const RunLock held(folder / "lock"); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(RunLock, ALockOfAKilledProcessIsTakenOver) {
  const ScratchFolder folder;
  leave_dead_lock(folder / "lock");
  ASSERT_TRUE(std::filesystem::exists(folder / "lock"));
  { const RunLock taken(folder / "lock"); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(RunLock, ARecycledProcessNumberIsNoMistake) {
  const ScratchFolder folder;
  leave_dead_lock(folder / "lock");
  change_lock(folder / "lock", {{"pid", ::getpid()}});  // alive, but it began at another time
  EXPECT_NO_THROW(RunLock(folder / "lock"));
}

TEST(RunLock, ALockOfAnotherHostIsLeftAlone) {
  const ScratchFolder folder;
  leave_dead_lock(folder / "lock");
  change_lock(folder / "lock", {{"host", "node-17"}});
  const std::string message = message_of<SystemError>([&] { RunLock second(folder / "lock"); });
  EXPECT_TRUE(contains(message, "node-17")) << message;
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
}

TEST(RunLock, ARequeuedJobTakesOverFromItself) {
  const ScratchFolder folder;
  leave_dead_lock(folder / "lock");
  change_lock(folder / "lock", {{"host", "node-17"}, {"job", "4711"}, {"restarts", ""}});
  ::setenv("SLURM_JOB_ID", "4711", 1);
  EXPECT_THROW(RunLock(folder / "lock"), SystemError);  // the same incarnation: it may run
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  EXPECT_NO_THROW(RunLock(folder / "lock"));
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
}

TEST(RunLock, ALockThatAnotherTookOverIsNotRemoved) {
  const ScratchFolder folder;
  {
    const RunLock held(folder / "lock");
    change_lock(folder / "lock", {{"pid", 1}});
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
}

TEST(RunLock, AnUnreadableLockIsNotTakenOver) {
  const ScratchFolder folder;
  put_bytes(folder / "lock", "no JSON");
  EXPECT_THROW(RunLock(folder / "lock"), SystemError);
}

}  // namespace
}  // namespace polyphase
