// SPDX-License-Identifier: Apache-2.0
#include "train/phase_teaching.hpp"

#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

// "topic step-000012 3f2a…"
std::string origin_of(const Lineage& teacher) {
  return fmt::format("{} {} {}", teacher.phase, checkpoint_name(teacher.step), teacher.digest);
}

}  // namespace

PhaseTeaching::PhaseTeaching(const PhaseJob& job, const PhaseCorpus& corpus, PhaseModel& model) {
  const recipe::Distil& distil = *phase_of(job).adaptation.distil;
  const FoundTeacher found = find_teacher(job, corpus);
  taught_by_ = std::make_shared<const Lineage>(found.lineage);
  if (distil.kept) {
    said_ = TaughtOutputs::read_or_make(job, corpus, found);
    was_stopped_ = !said_;
    model.learn_from_batches(distil);
  } else {
    along_.emplace(job, corpus, found, &job.grid.pipeline);
    model.learn_from(along_->model(), distil);
  }
}

// A checkpoint of an older program does not say who taught it.
void PhaseTeaching::note(const PhaseJob& job, const PhaseStart& start, Lineage& lineage) const {
  const auto& before = start.state.lineage.teacher;
  if (start.resumed && before != nullptr && before->digest != taught_by_->digest) {
    throw AgreedError(
        fmt::format("{}: this phase has learnt from the teacher {}, and finds {} now; bring the "
                    "teacher's checkpoint back, or remove the folder {} to train the phase anew",
                    job.folder.string(), origin_of(*before), origin_of(*taught_by_),
                    job.folder.string()),
        ExitCode::kUsage);
  }
  lineage.teacher = taught_by_;
}

void PhaseTeaching::attach(StepBatches& batches) const {
  if (said_) said_->attach(batches);
}

}  // namespace polyphase
