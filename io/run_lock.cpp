// SPDX-License-Identifier: Apache-2.0
#include "io/run_lock.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>

#include "base/environment.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

constexpr int kAttempts = 3;

// A file of /proc, whose size is reported as 0; "" when it is not there.
std::string read_proc(const std::string& path) {
  std::string text;
  if (std::FILE* file = std::fopen(path.c_str(), "re")) {
    std::array<char, 1024> piece;
    const std::size_t num = std::fread(piece.data(), 1, piece.size(), file);
    text.assign(piece.data(), num);
    std::fclose(file);
  }
  return text;
}

// Ticks since boot at which a process began (field 22 of proc(5) stat); -1 when it is not there or
// a zombie.
std::int64_t start_ticks(std::int64_t process) {
  const std::string stat = read_proc(fmt::format("/proc/{}/stat", process));
  const std::size_t name_end = stat.rfind(')');  // the name may hold blanks and brackets
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int number = 3; fields >> field; ++number) {
    if (number == 3 && (field == "Z" || field == "X")) return -1;
    if (number == 22) return std::stoll(field);
  }
  return -1;
}

std::string boot_id() { return read_proc("/proc/sys/kernel/random/boot_id"); }

nlohmann::json description_of_this_process() {
  std::array<char, 32> started = {};
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  std::strftime(started.data(), started.size(), "%FT%TZ", ::gmtime_r(&now, &parts));
  return {{"host", host_name()},
          {"pid", ::getpid()},
          {"start_ticks", start_ticks(::getpid())},
          {"boot", boot_id()},
          {"job", from_environment("SLURM_JOB_ID")},
          {"cluster", from_environment("SLURM_CLUSTER_NAME")},
          {"restarts", from_environment("SLURM_RESTART_COUNT")},
          {"started", started.data()}};
}

std::string member(const nlohmann::json& holder, const char* name) {
  const auto found = holder.find(name);
  return found != holder.end() && found->is_string() ? found->get<std::string>() : "";
}

// Slurm starts a requeued job only when its earlier incarnation has ended, on whatever host that
// was.
bool is_before_requeue(const nlohmann::json& holder, const nlohmann::json& self) {
  const std::string job = member(self, "job");
  return !job.empty() && member(holder, "job") == job &&
         member(holder, "cluster") == member(self, "cluster") &&
         std::atoi(member(holder, "restarts").c_str()) <
             std::atoi(member(self, "restarts").c_str());
}

bool is_surely_dead(const nlohmann::json& holder, const nlohmann::json& self) {
  if (!holder.is_object()) return false;
  if (is_before_requeue(holder, self)) return true;
  const bool has_process = holder.value("pid", nlohmann::json()).is_number_integer() &&
                           holder.value("start_ticks", nlohmann::json()).is_number_integer();
  if (!has_process || member(holder, "host") != member(self, "host")) return false;
  if (member(holder, "boot") != member(self, "boot")) return true;
  return start_ticks(holder["pid"].get<std::int64_t>()) !=
         holder["start_ticks"].get<std::int64_t>();
}

// Creates the lock with all of its content at once: link(2) fails when the name exists, also over
// NFS.
bool try_create(const std::filesystem::path& path, const std::string& content) {
  const std::filesystem::path beside =
      fmt::format("{}.{}.{}", path.string(), host_name(), ::getpid());
  std::error_code ignored;
  std::filesystem::remove(beside, ignored);
  write_file_atomically(beside, content);
  const int result = ::link(beside.c_str(), path.c_str());
  const int error = errno;
  std::filesystem::remove(beside, ignored);
  if (result != 0 && error != EEXIST) {
    fail<SystemError>(
        "{}: cannot create the lock: {}; keep the run in a file system with hard links",
        path.string(), std::generic_category().message(error));
  }
  return result == 0;
}

std::string content_of(const std::filesystem::path& path) {
  try {
    return read_file(path, 65536);
  } catch (const SystemError&) {
    return "";  // released meanwhile
  }
}

// Moves a dead lock aside and looks again at what was moved: another process may have taken it over
// in between, and its new lock then goes back.
void take_away(const std::filesystem::path& path, const std::string& dead_content) {
  const std::filesystem::path aside =
      fmt::format("{}.dead.{}.{}", path.string(), host_name(), ::getpid());
  if (::rename(path.c_str(), aside.c_str()) != 0) return;
  if (content_of(aside) != dead_content && ::link(aside.c_str(), path.c_str()) != 0) {
    log_warning("{}: two processes took over a dead lock at once", path.string());
  }
  ::unlink(aside.c_str());
}

[[noreturn]] void fail_held(const std::filesystem::path& path, nlohmann::json holder) {
  if (!holder.is_object()) holder = nlohmann::json::object();
  fail<SystemError>(
      "{}: the run is in use by process {} on host {} (job \"{}\", since {}); wait for it, "
      "or delete this file if it is certain that nobody runs",
      path.string(), holder.value("pid", nlohmann::json()).dump(), member(holder, "host"),
      member(holder, "job"), member(holder, "started"));
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name = {};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

RunLock::RunLock(const std::filesystem::path& path) : path_(path) {
  const nlohmann::json self = description_of_this_process();
  content_ = self.dump(1) + "\n";
  nlohmann::json holder;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (try_create(path_, content_)) return;
    const std::string content = content_of(path_);
    if (content.empty()) continue;
    holder = parse_json_or_discard(content);
    if (!is_surely_dead(holder, self)) break;
    log_warning("{}: taken over from process {} on {}, which is gone", path_.string(),
                holder.value("pid", nlohmann::json()).dump(), member(holder, "host"));
    take_away(path_, content);
  }
  fail_held(path_, holder);
}

void require_free(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  const std::string content = content_of(path);
  if (content.empty()) return;
  const nlohmann::json holder = parse_json_or_discard(content);
  if (!is_surely_dead(holder, description_of_this_process())) fail_held(path, holder);
}

RunLock::~RunLock() {
  try {
    if (content_of(path_) == content_) ::unlink(path_.c_str());
  } catch (const Error& error) {
    log_warning("{}", error.what());
  }
}

}  // namespace polyphase
