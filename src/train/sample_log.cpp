// SPDX-License-Identifier: Apache-2.0
#include "train/sample_log.hpp"

#include <filesystem>

#include "comm/agreement.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

fs::path file_of(const fs::path& folder, int data_rank) {
  return folder / fmt::format("samples-{:04}.jsonl", data_rank);
}

}  // namespace

SampleLog::SampleLog(const PhaseJob& job, std::int64_t step) {
  for (const auto& [name, weight] : phase_of(job).data) corpora_.push_back(name);
  agree_on(job.world, [&] {
    if (job.world.rank() != 0) return;
    for (int rank = 0; fs::exists(file_of(job.folder, rank)); ++rank)
      MetricsWriter(file_of(job.folder, rank)).truncate_after(step);
  });
  agree_on(job.world, [&] {
    if (job.log_samples && job.grid.tensor.rank() == 0 && job.grid.pipeline.rank() == 0)
      writer_.emplace(file_of(job.folder, job.grid.data.rank()));
  });
}

void SampleLog::step(std::int64_t step, const std::vector<TrainingSamples::Choice>& samples) {
  if (!writer_) return;
  std::vector<std::string> names;
  for (const TrainingSamples::Choice& sample : samples)
    names.push_back(fmt::format("{}:{}", corpora_[sample.corpus], sample.sample));
  writer_->append({{"kind", "samples"}, {"step", step}, {"samples", names}});
}

}  // namespace polyphase
