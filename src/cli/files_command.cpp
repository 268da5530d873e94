// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>

#include "cli/commands.hpp"
#include "control/slurm_jobs.hpp"
#include "io/checkpoint.hpp"
#include "io/shard.hpp"
#include "report/comparison.hpp"
#include "report/html.hpp"
#include "report/lineage_text.hpp"
#include "report/page.hpp"
#include "report/status_text.hpp"
#include "report/terminal.hpp"

namespace polyphase {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, " × "));
}

void inspect_checkpoint(const std::filesystem::path& folder) {
  const CheckpointReader reader(folder);
  fmt::print("checkpoint {}, digest {}\n", folder.string(), reader.digest());
  nlohmann::json state = reader.state();
  if (state.contains("phase_state")) {
    Lineage lineage = lineage_of_checkpoint(folder);
    lineage.digest.clear();  // told above
    fmt::print("{}\n", fmt::join(report::lineage_lines(lineage), "\n"));
    state.erase("lineage");
  }
  fmt::print("state: {}\n", state.dump(1));
  std::int64_t total = 0;
  for (const auto& [name, shape] : reader.tensors()) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    total += count;
    fmt::print("{:<60} {}\n", name, shape_text(shape));
  }
  fmt::print("{} tensors, {} values\n", reader.tensors().size(), total);
}

void inspect_corpus(const std::filesystem::path& file) {
  const CorpusIndex index = read_corpus_index(file);
  fmt::print("corpus {} of kind {}, vocabulary of {} pieces\n", index.name, index.kind,
             index.vocab_size);
  if (!index.made.is_null()) {
    fmt::print("made by {}\n", fmt::join(report::lineage_lines(index.made.get<Lineage>()), "\n"));
  }
  if (!index.label_names.empty()) fmt::print("labels: {}\n", fmt::join(index.label_names, " "));
  for (const auto& [part, shards] : index.splits) {
    for (const ShardSummary& shard : shards) {
      fmt::print("{:<6} {:<20} {} documents, {} sentences, {} tokens; {} bytes, {} words of text\n",
                 part, shard.file, shard.num_documents, shard.num_sentences, shard.num_tokens,
                 shard.num_bytes, shard.num_words);
    }
    const auto skipped = index.skipped.find(part);
    if (skipped == index.skipped.end()) continue;
    fmt::print("{:<6} {} bad lines left out, the first: {}\n", part, skipped->second.count,
               skipped->second.first.front());
  }
}

int terminal_width() {
  return report::terminal_columns(fileno(stdout)).value_or(report::kDefaultColumns);
}

// Of a run whose jobs have not begun, the jobs are all there is to tell.
std::string status_of(const std::filesystem::path& run_folder, int columns) {
  const std::string jobs = slurm_text(run_folder, columns);
  if (!jobs.empty() && !std::filesystem::exists(run_folder / "status.json"))
    return fmt::format("{}: nothing has begun\n{}", run_folder.string(), jobs);
  return report::status_text(run_folder, columns) + jobs;
}

}  // namespace

ExitCode status_command(const std::string& run_folder) {
  const int columns = terminal_width();
  const std::vector<std::string> runs = read_slurm_jobs(run_folder).runs;
  for (const std::string& run : runs) {
    fmt::print("==== {}\n{}\n", run, status_of(std::filesystem::path(run_folder) / run, columns));
  }
  if (runs.empty()) fmt::print("{}", status_of(run_folder, columns));
  return ExitCode::kDone;
}

ExitCode report_command(const ReportOptions& options) {
  const std::vector<std::filesystem::path> runs(options.runs.begin(), options.runs.end());
  const bool alone = runs.size() == 1;
  std::filesystem::path page = options.output;
  if (page.empty()) page = runs.front() / (alone ? "report.html" : "comparison.html");
  if (alone) {
    report::write_report(runs.front(), page);
  } else {
    const std::vector<report::NamedRun> read = report::read_runs(runs);
    report::write_page(page, report::comparison_html(read));
    fmt::print("{}", report::comparison_text(read, terminal_width()));
  }
  fmt::print("{}\n", page.string());
  return ExitCode::kDone;
}

ExitCode inspect_command(const std::string& path) {
  const std::filesystem::path given = path;
  if (std::filesystem::is_directory(given) && std::filesystem::exists(given / "manifest.json")) {
    inspect_checkpoint(given);
  } else if (std::filesystem::is_directory(given) &&
             std::filesystem::exists(given / "corpus.json")) {
    inspect_corpus(given / "corpus.json");
  } else if (given.filename() == "corpus.json") {
    inspect_corpus(given);
  } else {
    fail<RecipeError>(
        "{} is neither a checkpoint (a folder with manifest.json) nor a prepared corpus (a folder "
        "with corpus.json); HDF5 files open with h5dump too",
        path);
  }
  return ExitCode::kDone;
}

ExitCode verify_command(const std::string& folder) {
  const bool corpus = std::filesystem::exists(std::filesystem::path(folder) / "corpus.json");
  const std::vector<std::string> faults =
      corpus ? verify_corpus(folder) : verify_checkpoint(folder);
  for (const std::string& fault : faults) fmt::print("{}\n", fault);
  if (!faults.empty()) {
    fail<DataError>(
        "{}: {} {}; {}", folder, faults.size(), faults.size() == 1 ? "fault" : "faults",
        corpus ? "remove this folder and prepare again" : "go back to the checkpoint before it");
  }
  fmt::print("{}: every digest holds\n", folder);
  return ExitCode::kDone;
}

}  // namespace polyphase
