// SPDX-License-Identifier: Apache-2.0
#include "objective/soft_crf_loss.hpp"

#include "kernels/elementwise.hpp"
#include "model/pass.hpp"

namespace polyphase {
namespace {

Tensor1<const float> scaled(const Exec& exec, Tensor1<const float> x, float factor) {
  const Tensor1<float> y = exec.arena->take1<float>(static_cast<std::int64_t>(x.extent(0)));
  convert<float, float>(exec, y, x);
  scale<float>(exec, y, factor);
  return y;
}

Tensor2<const float> scaled(const Exec& exec, Tensor2<const float> x, float factor) {
  return Tensor2<const float>(scaled(exec, flat(x), factor).data(), x.extent(0), x.extent(1));
}

// A field of unlabelled words at the temperature 1 / factor. Rules come last: what they forbid
// stays forbidden at any temperature.
struct TemperedField {
  CrfWords words;
  CrfParameters scores;

  TemperedField(const Exec& exec, const CrfField& field, Tensor1<const std::int32_t> no_labels_M,
                Tensor1<const std::int32_t> starts, const CrfRules& rules, float factor)
      : words{scaled(exec, field.emission_MK, factor), no_labels_M, starts},
        scores(crf_scores(exec,
                          {.transition_KK = scaled(exec, field.parameters.transition_KK, factor),
                           .start_K = scaled(exec, field.parameters.start_K, factor),
                           .end_K = scaled(exec, field.parameters.end_K, factor)},
                          rules)) {}
};

// Σ_b log Z_b; writes scale × the marginals of tags, writes or accumulates the others' as `write`
// says.
double marginals(const Exec& exec, Tensor2<float> tag_MK, const CrfGradients& sums, Write write,
                 const TemperedField& field, const CrfRules& rules, float scale) {
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const auto m = static_cast<std::int64_t>(tag_MK.extent(0)),
             k = static_cast<std::int64_t>(tag_MK.extent(1));
  const CrfForward forward = {.alpha_MK = arena.take2<float>(m, k),
                              .norm_M = arena.take1<float>(m)};
  const auto log_z_B =
      arena.take1<double>(static_cast<std::int64_t>(field.words.starts.extent(0)) - 1);
  crf_forward(exec, log_z_B, forward, field.words, field.scores);
  crf_backward<float>(exec, tag_MK, sums, write, forward, field.words, field.scores, rules, scale);
  double sum = 0;
  for (const double log_z : download<double>(exec, log_z_B)) sum += log_z;
  return sum;
}

// Σ weight · (a - b).
double expected_difference(const Exec& exec, Tensor1<const float> weight, Tensor1<const float> a,
                           Tensor1<const float> b) {
  const std::vector<float> weights = download<float>(exec, weight), as = download<float>(exec, a),
                           bs = download<float>(exec, b);
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    sum += double{weights[i]} * (double{as[i]} - double{bs[i]});
  return sum;
}

}  // namespace

double add_soft_crf_loss(const Exec& exec, Tensor2<float> demission_MK,
                         const CrfGradients& gradients, const SoftTargets& teacher,
                         const CrfField& student, Tensor1<const std::int32_t> starts,
                         const CrfRules& rules, float scale_of_gradient) {
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const auto m = static_cast<std::int64_t>(demission_MK.extent(0)),
             k = static_cast<std::int64_t>(demission_MK.extent(1));
  const auto emission_MK = arena.take2<float>(m, k), tag_MK = arena.take2<float>(m, k);
  const CrfGradients sums = {.transition_KK = arena.take2<float>(k, k),
                             .start_K = arena.take1<float>(k),
                             .end_K = arena.take1<float>(k)};
  const auto no_labels_M = upload(exec, std::vector<std::int32_t>(static_cast<std::size_t>(m), -1));
  teacher.logits(emission_MK, 0);
  const float factor = 1.0F / teacher.temperature;
  const TemperedField theirs(exec, {emission_MK, teacher.chain}, no_labels_M, starts, rules,
                             factor);
  const TemperedField own(exec, student, no_labels_M, starts, rules, factor);

  double nats = -marginals(exec, tag_MK, sums, Write::kOverwrite, theirs, rules, 1.0F);
  nats += expected_difference(exec, flat(tag_MK), flat(theirs.words.emission_MK),
                              flat(own.words.emission_MK));
  nats += expected_difference(exec, flat(sums.transition_KK), flat(theirs.scores.transition_KK),
                              flat(own.scores.transition_KK));
  nats += expected_difference(exec, sums.start_K, theirs.scores.start_K, own.scores.start_K);
  nats += expected_difference(exec, sums.end_K, theirs.scores.end_K, own.scores.end_K);

  const float share = scale_of_gradient * teacher.weight * teacher.temperature;
  const auto subtract = [&](Tensor1<float> from, Tensor1<float> x) {
    scale<float>(exec, x, -share);
    add(exec, from, Tensor1<const float>(x));
  };
  subtract(flat(demission_MK), flat(tag_MK));
  subtract(flat(gradients.transition_KK), flat(sums.transition_KK));
  subtract(gradients.start_K, sums.start_K);
  subtract(gradients.end_K, sums.end_K);
  nats += marginals(exec, tag_MK, gradients, Write::kAccumulate, own, rules, share);
  add(exec, flat(demission_MK), Tensor1<const float>(flat(tag_MK)));
  return static_cast<double>(teacher.weight) * teacher.temperature * teacher.temperature * nats;
}

}  // namespace polyphase
