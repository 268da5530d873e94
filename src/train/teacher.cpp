// SPDX-License-Identifier: Apache-2.0
#include "train/teacher.hpp"

#include "base/digest.hpp"
#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "io/file.hpp"
#include "recipe/load.hpp"
#include "train/phase_result.hpp"

namespace polyphase {
namespace {

// Of the digests of all parts of its parameters and of their averages, as the manifest lists them.
std::string digest_of_parameters(const std::filesystem::path& checkpoint) {
  const nlohmann::json manifest =
      nlohmann::json::parse(read_file((checkpoint / "manifest.json").string()));
  std::string digests;
  for (const auto& [name, tensor] : manifest.at("tensors").items()) {
    if (!name.starts_with("optimizer/")) digests += name + tensor.dump();
  }
  return digest(digests);
}

// The checkpoint's folder, and the digest, one a line.
std::string find(const PhaseJob& job, const std::string& name) {
  const std::filesystem::path result = result_checkpoint(job.teacher_folder);
  if (result.empty()) {
    fail<DataError>(
        "{} holds no complete checkpoint, so there is no teacher; remove the folder {}, and run "
        "phase {} again",
        checkpoints_of(job.teacher_folder).string(), job.teacher_folder.string(), name);
  }
  return result.string() + "\n" + digest_of_parameters(result);
}

}  // namespace

Teacher::Teacher(const PhaseJob& job, const PhaseCorpus& corpus) {
  const recipe::Phase& student = job.recipe.phases[job.phase_number];
  const recipe::Phase* phase = recipe::find_phase(job.recipe, student.adaptation.distil->teacher);
  POLYPHASE_PROMISE(phase != nullptr, "phase {} has no teacher", student.name);
  model_ = make_phase_model(job.recipe, *phase, corpus.phase_data(), job.grid.tensor);
  model_->parameters().allocate(0);
  load(job, corpus, phase->name);
  log_info("{}: learns from {} too, {} parameters", student.name, phase->name,
           model_->parameters().global_count());
}

void Teacher::load(const PhaseJob& job, const PhaseCorpus& corpus, const std::string& name) {
  const std::string found = from_rank_0(job.world, [&] { return find(job, name); });
  const std::filesystem::path checkpoint = found.substr(0, found.find('\n'));
  origin_ = fmt::format("{} {} {}", name, checkpoint.filename().string(),
                        found.substr(found.find('\n') + 1));
  agree_on(job.world, [&] {
    const nlohmann::json data =
        CheckpointReader(checkpoint).state().value("data", nlohmann::json::object());
    const bool labels = job.recipe.phases[job.phase_number].task.has_value();
    if (data.value("tokenizer", "") != corpus.tokenizer_digest() ||
        (labels && data.value("label_names", std::vector<std::string>()) !=
                       corpus.phase_data().label_names)) {
      fail<RecipeError>(
          "{}: this teacher was trained with another tokenizer or other labels than those of the "
          "corpus {}; choose a teacher of the same",
          checkpoint.string(), corpus.name());
    }
    const HandOver loaded = take_over(checkpoint, model_->parameters());
    if (loaded.fresh.empty()) return;
    fail<DataError>(
        "{}: lacks {} of the teacher's {} parameters ({}); is this another run's checkpoint?",
        checkpoint.string(), loaded.fresh.size(), model_->parameters().all().size(),
        loaded.fresh.front());
  });
}

void require_same_teacher(const PhaseJob& job, const PhaseStart& start, const std::string& origin) {
  if (!start.resumed || start.state.teacher == origin) return;
  throw AgreedError(
      fmt::format("{}: this phase has learnt from the teacher {}, and finds {} now; bring the "
                  "teacher's checkpoint back, or remove the folder {} to train the phase anew",
                  job.folder.string(), start.state.teacher, origin, job.folder.string()),
      ExitCode::kUsage);
}

}  // namespace polyphase
