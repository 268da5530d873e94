// SPDX-License-Identifier: Apache-2.0
#include "report/starts.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "report/format.hpp"
#include "report/run_state.hpp"

namespace polyphase::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kLastSecond = 253402300799;  // of the year 9999

json to_json(const Start& start) {
  return {{"job", start.job},
          {"array_job", start.array_job},
          {"cluster", start.cluster},
          {"restart", start.restart},
          {"begun", start.begun},
          {"ended", start.ended},
          {"progress", start.progress},
          {"exit_code", start.exit_code ? json(*start.exit_code) : json()},
          {"reason", start.reason}};
}

Start start_of(const json& object) {
  Start start = {.job = object.at("job"),
                 .array_job = object.at("array_job"),
                 .cluster = object.value("cluster", ""),
                 .restart = object.at("restart"),
                 .begun = object.at("begun"),
                 .ended = object.at("ended"),
                 .progress = object.at("progress"),
                 .exit_code = std::nullopt,
                 .reason = object.at("reason")};
  for (const std::int64_t time : {start.begun, start.ended}) {
    if (time < 0 || time > kLastSecond) fail<DataError>("{} is no time of a start", time);
  }
  if (!object.at("exit_code").is_null()) start.exit_code = object.at("exit_code").get<int>();
  return start;
}

std::int64_t modified(const fs::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 ? status.st_mtime : 0;
}

std::vector<Start> starts_in(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return {};
  try {
    std::vector<Start> starts;
    for (const json& object : parse_json(read_file(file))) starts.push_back(start_of(object));
    return starts;
  } catch (const std::exception& error) {  // not JSON, not such a list, or not to be read
    log_warning("{}: not a list of starts ({}); it counts as empty", file.string(), error.what());
    return {};
  }
}

}  // namespace

std::string to_text(const std::vector<Start>& starts) {
  json list = json::array();
  for (const Start& start : starts) list.push_back(to_json(start));
  return list.dump(1) + "\n";
}

std::vector<fs::path> round_folders(const fs::path& run_folder) {
  std::vector<fs::path> folders;
  std::error_code none;
  for (const fs::directory_entry& round : fs::directory_iterator(run_folder, none)) {
    if (round.path().filename().string().starts_with("round-")) folders.push_back(round.path());
  }
  return folders;
}

std::vector<fs::path> phase_folders(const fs::path& run_folder, std::int64_t round) {
  std::vector<fs::path> folders;
  for (const fs::path& one :
       round == 0 ? round_folders(run_folder) : std::vector{round_folder(run_folder, round)}) {
    std::error_code ignored;
    for (const fs::directory_entry& phase : fs::directory_iterator(one, ignored)) {
      if (phase.is_directory(ignored)) folders.push_back(phase.path());
    }
  }
  return folders;
}

std::int64_t last_sign_of_life(const fs::path& run_folder, std::int64_t round) {
  const fs::path folder = round == 0 ? run_folder : round_folder(run_folder, round);
  std::int64_t last = modified(folder / "status.json");
  for (const fs::path& phase : phase_folders(run_folder, round))
    last = std::max(last, modified(phase / "metrics.jsonl"));
  return last;
}

std::vector<Start> read_starts(const fs::path& run_folder) {
  std::vector<Start> starts = starts_in(run_folder / kStartsFile);
  const auto is_known = [&starts](const Start& one) {
    return std::any_of(starts.begin(), starts.end(), [&one](const Start& other) {
      return one.job == other.job && one.restart == other.restart && one.begun == other.begun;
    });
  };
  for (const fs::path& round : round_folders(run_folder)) {
    for (Start& start : starts_in(round / kStartsFile)) {
      if (!is_known(start)) starts.push_back(std::move(start));
    }
  }
  std::stable_sort(starts.begin(), starts.end(),
                   [](const Start& a, const Start& b) { return a.begun < b.begun; });
  return starts;
}

double seconds_of(const std::vector<Start>& starts, std::size_t index, const fs::path& run_folder,
                  std::int64_t now) {
  const Start& start = starts[index];
  std::error_code ignored;
  const bool is_last = index + 1 == starts.size();
  std::int64_t end = start.ended;
  if (end == 0 && is_last)
    end = fs::exists(run_folder / "run.lock", ignored) ? now : last_sign_of_life(run_folder);
  return static_cast<double>(std::max<std::int64_t>(0, end - start.begun));
}

double Goodput::share() const { return std::min(1.0, useful_seconds / allocated_seconds); }

std::string Goodput::text() const {
  return fmt::format("goodput {:.0f} %: of the {} that {} {} had, steps that count took {}",
                     100 * share(), duration_text(allocated_seconds), num_starts,
                     num_starts == 1 ? "start" : "starts", duration_text(useful_seconds));
}

std::optional<Goodput> goodput_of(const std::vector<Start>& starts,
                                  const std::vector<History>& phases, const fs::path& run_folder,
                                  std::int64_t now) {
  Goodput goodput = {.num_starts = starts.size()};
  for (std::size_t i = 0; i < starts.size(); ++i)
    goodput.allocated_seconds += seconds_of(starts, i, run_folder, now);
  for (const History& phase : phases) {
    for (const Point& step : phase.step_seconds) goodput.useful_seconds += step.y;
  }
  return goodput.allocated_seconds > 0 ? std::optional(goodput) : std::nullopt;
}

}  // namespace polyphase::report
