// SPDX-License-Identifier: Apache-2.0
#include "train/teacher.hpp"

#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "recipe/load.hpp"
#include "recipe/teacher_cuts.hpp"
#include "train/checkpointing.hpp"
#include "train/source_phase.hpp"

namespace polyphase {
namespace {

recipe::Recipe in_this_run(recipe::Recipe teacher, const recipe::Recipe& run) {
  teacher.precision = run.precision;
  teacher.parallel = run.parallel;
  return teacher;
}

void check(const PhaseJob& job, const PhaseCorpus& corpus, FoundTeacher& found) {
  require_same_tokenizer(found.checkpoint, *job.teacher, corpus);
  found.lineage = lineage_of_checkpoint(found.checkpoint);
  const nlohmann::json data =
      CheckpointReader(found.checkpoint).state().value("data", nlohmann::json::object());
  const bool labels = phase_of(job).task.has_value();
  if (!labels ||
      data.value("label_names", std::vector<std::string>()) == corpus.phase_data().label_names)
    return;
  fail<RecipeError>(
      "{}: the teacher {} was trained with other labels than those of the corpus {}; choose a "
      "teacher of the same",
      found.checkpoint.string(), job.teacher->name, corpus.name());
}

}  // namespace

FoundTeacher find_teacher(const PhaseJob& job, const PhaseCorpus& corpus) {
  FoundTeacher found;
  found.checkpoint = find_source(job.world, *job.teacher,
                                 fmt::format("phase {} has no teacher", phase_of(job).name));
  agree_on(job.world, [&] { check(job, corpus, found); });
  return found;
}

Teacher::Teacher(const PhaseJob& job, const PhaseCorpus& corpus, const FoundTeacher& found,
                 const Communicator* pipeline)
    : recipe_(in_this_run(job.teacher->recipe, job.recipe)) {
  const SourcePhase& source = *job.teacher;
  model_ = make_phase_model(
      recipe_, source.phase, corpus.phase_data(), job.grid.tensor, pipeline,
      recipe::teacher_cuts(job.recipe, phase_of(job), recipe::model_of(recipe_, source.phase)));
  model_->parameters().allocate();
  agree_on(job.world, [&] {
    const HandOver loaded = take_over(found.checkpoint, model_->parameters());
    if (loaded.fresh.empty()) return;
    fail<DataError>(
        "{}: lacks {} of the teacher's {} parameters ({}); is this another run's checkpoint?",
        found.checkpoint.string(), loaded.fresh.size(), model_->parameters().all().size(),
        loaded.fresh.front());
  });
  log_info("{}: learns from {} too, {} parameters", phase_of(job).name, source.name,
           model_->parameters().global_count());
}

}  // namespace polyphase
