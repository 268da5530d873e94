// SPDX-License-Identifier: Apache-2.0
#include "train/taught_outputs.hpp"

#include <algorithm>
#include <filesystem>

#include "base/digest.hpp"
#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "recipe/load.hpp"
#include "train/evaluate.hpp"
#include "train/largest_batch.hpp"

namespace polyphase {
namespace {

// The teacher's model, ready to be asked.
class Asked {
 public:
  Asked(const PhaseJob& job, const PhaseCorpus& corpus, const FoundTeacher& found)
      : job_(job),
        settings_(corpus.sample_settings(phase_key(phase_of(job).name))),
        num_labels_(std::ssize(corpus.phase_data().label_names)),
        num_outputs_(num_outputs_of(*phase_of(job).task, num_labels_)),
        micro_batch_(recipe::micro_batch_of(phase_of(job))),
        teacher_(job, corpus, found, nullptr) {
    const Batch largest = largest_batch(job.recipe, phase_of(job), micro_batch_, num_labels_);
    teacher_.model().allocate_arena(teacher_.model().plan_outputs(largest, num_outputs_));
  }

  std::optional<KeptOutputs> about(const std::shared_ptr<Dataset>& dataset) {
    EvaluationStream stream(dataset, {.sample = settings_,
                                      .micro_batch = micro_batch_,
                                      .data_rank = job_.grid.data.rank(),
                                      .num_data_ranks = job_.grid.data.size()});
    std::vector<std::vector<Tally>> said;
    while (const std::optional<EvaluationBatch> next = stream.next()) {
      if (job_.stop.agreed(job_.world)) return std::nullopt;
      Tally& tally = said.emplace_back(1).front();
      if (next->batch.num_sequences() == 0) continue;
      const std::vector<float> rows = teacher_.model().outputs(next->batch, num_outputs_);
      tally.records.assign(rows.begin(), rows.end());
    }
    const std::vector<Tally> all = sum_tallies(said, job_.grid.data, Dealing::kInTurn);
    return KeptOutputs{.num_outputs = num_outputs_,
                       .values = {all.front().records.begin(), all.front().records.end()}};
  }

 private:
  const PhaseJob& job_;
  SampleSettings settings_;
  std::int64_t num_labels_, num_outputs_, micro_batch_;
  Teacher teacher_;
};

// All that outputs depend on, down to their last bits.
std::string made_of(const PhaseJob& job, const FoundTeacher& teacher,
                    const std::string& corpus_digest) {
  const recipe::Phase& phase = phase_of(job);
  return fmt::format(
      "teacher {}, corpus {}, {} texts of {} tokens, {}, split over {}", teacher.lineage.digest,
      corpus_digest, recipe::micro_batch_of(phase), recipe::max_tokens_of(job.recipe, phase),
      job.recipe.precision == recipe::Precision::kBf16 ? "bf16" : "f32", job.grid.tensor.size());
}

}  // namespace

std::int64_t num_outputs_of(const recipe::Task& task, std::int64_t num_labels) {
  return task.kind == recipe::TaskKind::kRegression ? 1 : num_labels;
}

std::optional<TaughtOutputs> TaughtOutputs::read_or_make(const PhaseJob& job,
                                                         const PhaseCorpus& corpus,
                                                         const FoundTeacher& teacher) {
  TaughtOutputs outputs;
  std::optional<Asked> asked;
  for (const CorpusPart& part : corpus.open("train")) {
    const std::string of = made_of(job, teacher, corpus.corpus_digests().at(part.corpus));
    const std::filesystem::path path =
        std::filesystem::path(job.data_dir) / "teacher-outputs" /
        fmt::format("{}-{}.h5", part.corpus, digest(of).substr(0, 12));
    const bool there =
        !from_rank_0(job.world, [&] { return std::filesystem::exists(path) ? "yes" : ""; }).empty();
    if (!there) {
      if (!asked) asked.emplace(job, corpus, teacher);
      const auto made = asked->about(part.dataset);
      if (!made) return std::nullopt;
      agree_on(job.world, [&] {
        if (job.world.rank() == 0) write_kept_outputs(path, *made, of);
      });
    }
    agree_on(job.world, [&] {
      outputs.corpora_.push_back(read_kept_outputs(
          path, of, part.dataset->num_samples(),
          num_outputs_of(*phase_of(job).task, std::ssize(part.dataset->label_names()))));
    });
    log_info("{}: what {} says of {} samples of {} is {} in {}", phase_of(job).name,
             job.teacher->name, part.dataset->num_samples(), part.corpus, there ? "read" : "kept",
             path.string());
  }
  return outputs;
}

void TaughtOutputs::attach(StepBatches& batches) const {
  auto choice = batches.samples.begin();
  for (Batch& batch : batches.micro_batches) {
    for (std::int64_t b = 0; b < batch.num_sequences(); ++b, ++choice) {
      const KeptOutputs& kept = corpora_[choice->corpus];
      const auto row = kept.values.begin() + choice->sample * kept.num_outputs;
      batch.taught_BK.insert(batch.taught_BK.end(), row, row + kept.num_outputs);
    }
  }
}

}  // namespace polyphase
