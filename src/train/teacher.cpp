// SPDX-License-Identifier: Apache-2.0
#include "train/teacher.hpp"

#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

recipe::Recipe in_this_run(recipe::Recipe teacher, const recipe::Recipe& run) {
  teacher.precision = run.precision;
  teacher.parallel = run.parallel;
  return teacher;
}

// "topic step-000012 3f2a…"
std::string origin_of(const Lineage& teacher) {
  return fmt::format("{} {} {}", teacher.phase, checkpoint_name(teacher.step), teacher.digest);
}

}  // namespace

Teacher::Teacher(const PhaseJob& job, const PhaseCorpus& corpus)
    : recipe_(in_this_run(job.teacher->recipe, job.recipe)) {
  const SourcePhase& source = *job.teacher;
  const recipe::Phase& student = phase_of(job);
  checkpoint_ =
      find_source(job.world, source, fmt::format("phase {} has no teacher", student.name));
  agree_on(job.world, [&] { check(job, corpus); });
  model_ = make_phase_model(recipe_, source.phase, corpus.phase_data(), job.grid.tensor);
  model_->parameters().allocate();
  agree_on(job.world, [&] {
    const HandOver loaded = take_over(checkpoint_, model_->parameters());
    if (loaded.fresh.empty()) return;
    fail<DataError>(
        "{}: lacks {} of the teacher's {} parameters ({}); is this another run's checkpoint?",
        checkpoint_.string(), loaded.fresh.size(), model_->parameters().all().size(),
        loaded.fresh.front());
  });
  log_info("{}: learns from {} too, {} parameters", student.name, source.name,
           model_->parameters().global_count());
}

void Teacher::check(const PhaseJob& job, const PhaseCorpus& corpus) {
  require_same_tokenizer(checkpoint_, *job.teacher, corpus);
  lineage_ = lineage_of_checkpoint(checkpoint_);
  const nlohmann::json data =
      CheckpointReader(checkpoint_).state().value("data", nlohmann::json::object());
  const bool labels = phase_of(job).task.has_value();
  if (!labels ||
      data.value("label_names", std::vector<std::string>()) == corpus.phase_data().label_names)
    return;
  fail<RecipeError>(
      "{}: the teacher {} was trained with other labels than those of the corpus {}; choose a "
      "teacher of the same",
      checkpoint_.string(), job.teacher->name, corpus.name());
}

// A checkpoint of an older program does not say.
void require_same_teacher(const PhaseJob& job, const PhaseStart& start, const Lineage& teacher) {
  const auto& before = start.state.lineage.teacher;
  if (!start.resumed || before == nullptr || before->digest == teacher.digest) return;
  throw AgreedError(
      fmt::format("{}: this phase has learnt from the teacher {}, and finds {} now; bring the "
                  "teacher's checkpoint back, or remove the folder {} to train the phase anew",
                  job.folder.string(), origin_of(*before), origin_of(teacher), job.folder.string()),
      ExitCode::kUsage);
}

}  // namespace polyphase
