// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace polyphase {

// From easy to hard samples, by competence (Platanios et al., 2019).
struct CurriculumSettings {
  bool by_score = false;  // by the corpus' scores instead of lengths
  double start = 0.01;
  std::int64_t steps = 0;  // 0: no curriculum
};

// The share of the samples, the easiest, that step `step` (from 0) draws from: the square-root
// schedule min(1, sqrt(step · (1 - start²) / steps + start²)) (Platanios et al., 2019, equation 7).
double competence(const CurriculumSettings& settings, std::int64_t step);

// The samples of one corpus from the easiest to the hardest. Holds 8 bytes a sample.
class Curriculum {
 public:
  // How hard samples[i] is; of equal ones the earlier counts as easier. `key`
  // is that of the phase's draws.
  Curriculum(const std::vector<std::int64_t>& samples, const std::vector<double>& difficulties,
             std::uint64_t key);

  // One of the easiest `share` of the samples (of one sample at least), each as likely as any
  // other: drawn anew for every global sample, as in the paper's algorithm 1, so one may come
  // twice.
  std::int64_t draw(double share, std::uint64_t global_sample) const;

 private:
  std::vector<std::int64_t> by_difficulty_;
  std::uint64_t key_;
};

}  // namespace polyphase
