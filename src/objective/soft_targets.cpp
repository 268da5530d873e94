// SPDX-License-Identifier: Apache-2.0
#include "objective/soft_targets.hpp"

#include <cmath>

#include "model/pass.hpp"

namespace polyphase {
namespace {

// Brings this rank's sums to the largest logit of all ranks and adds them up.
void combine(std::vector<float>& max, const std::vector<std::vector<float>*>& sums,
             const Communicator& tensor) {
  const std::vector<float> own = max;
  const auto count = static_cast<std::int64_t>(max.size());
  tensor.max(max.data(), count);
  for (std::vector<float>* sum : sums) {
    for (std::size_t m = 0; m < max.size(); ++m) (*sum)[m] *= std::exp(own[m] - max[m]);
    tensor.sum(sum->data(), count);
  }
}

std::vector<float> log_sums(const std::vector<float>& max, const std::vector<float>& sum) {
  std::vector<float> logs(max.size());
  for (std::size_t m = 0; m < max.size(); ++m) logs[m] = max[m] + std::log(sum[m]);
  return logs;
}

}  // namespace

SoftLoss::SoftLoss(const Exec& exec, const SoftTargets& targets, std::int64_t num_rows,
                   std::int64_t widest)
    : exec_(exec), targets_(targets), num_rows_(num_rows) {
  Arena& arena = *exec.arena;
  teacher_logits_ = arena.take1<float>(num_rows * widest);
  stats_ = {.student_max_M = arena.take1<float>(num_rows),
            .student_sum_M = arena.take1<float>(num_rows),
            .teacher_max_M = arena.take1<float>(num_rows),
            .teacher_sum_M = arena.take1<float>(num_rows),
            .difference_M = arena.take1<float>(num_rows)};
  soft_stats_begin(exec, stats_);
}

// A single block is still there when its gradient is asked for.
Tensor2<const float> SoftLoss::teacher_block(std::int64_t num_classes, std::int64_t first) {
  const Tensor2<float> block(teacher_logits_.data(), num_rows_, num_classes);
  if (held_first_ != first) targets_.logits(block, first);
  held_first_ = first;
  return block;
}

void SoftLoss::add(Tensor2<const float> logits_MK, std::int64_t first) {
  const auto num_classes = static_cast<std::int64_t>(logits_MK.extent(1));
  soft_stats_add(exec_, stats_, logits_MK, teacher_block(num_classes, first), targets_.temperature);
}

double SoftLoss::finish(const std::vector<std::int32_t>& labels_M, const Communicator* tensor) {
  std::vector<float> z_max = download<float>(exec_, stats_.student_max_M),
                     z_sum = download<float>(exec_, stats_.student_sum_M),
                     t_max = download<float>(exec_, stats_.teacher_max_M),
                     t_sum = download<float>(exec_, stats_.teacher_sum_M),
                     difference = download<float>(exec_, stats_.difference_M);
  if (tensor != nullptr && tensor->size() > 1 && !exec_.counting()) {
    combine(z_max, {&z_sum}, *tensor);
    combine(t_max, {&t_sum, &difference}, *tensor);
  }
  const std::vector<float> z_log = log_sums(z_max, z_sum), t_log = log_sums(t_max, t_sum);
  const double square = static_cast<double>(targets_.temperature) * targets_.temperature;
  double nats = 0;
  for (std::size_t m = 0; m < labels_M.size(); ++m) {
    if (labels_M[m] < 0) continue;
    const double mean = static_cast<double>(difference[m]) / static_cast<double>(t_sum[m]);
    nats += mean - static_cast<double>(t_log[m]) + static_cast<double>(z_log[m]);
  }
  student_log_sum_M_ = upload(exec_, z_log);
  teacher_log_sum_M_ = upload(exec_, t_log);
  return targets_.weight * square * nats;
}

template <class Real>
void SoftLoss::add_gradient(Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                            Tensor1<const std::int32_t> labels_M, std::int64_t first, float scale) {
  const auto num_classes = static_cast<std::int64_t>(logits_MK.extent(1));
  soft_gradient_add<Real>(exec_, dlogits_MK, logits_MK, teacher_block(num_classes, first),
                          student_log_sum_M_, teacher_log_sum_M_, labels_M, targets_.temperature,
                          scale * targets_.weight * targets_.temperature);
}

template void SoftLoss::add_gradient(Tensor2<float>, Tensor2<const float>,
                                     Tensor1<const std::int32_t>, std::int64_t, float);
template void SoftLoss::add_gradient(Tensor2<bf16>, Tensor2<const float>,
                                     Tensor1<const std::int32_t>, std::int64_t, float);

}  // namespace polyphase
