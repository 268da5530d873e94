// SPDX-License-Identifier: Apache-2.0
// Prints the number of threads, then the digest of what each kernel over rows computes from keyed
// numbers. Run on different numbers of threads, all lines but the first must be the same.
#include <string>
#include <vector>

#include "base/digest.hpp"
#include "base/philox.hpp"
#include "kernels/activation.hpp"
#include "kernels/adafactor.hpp"
#include "kernels/adamw.hpp"
#include "kernels/crf.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/distillation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "kernels/for_rows.hpp"
#include "kernels/momentum.hpp"
#include "kernels/norm.hpp"
#include "kernels/range_sums.hpp"
#include "kernels/rows.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kRows = 1003, kWidth = 203;

struct Bench {
  Exec exec;

  template <class T>
  Tensor1<T> put(const std::vector<T>& values) {
    const Tensor1<T> x = exec.arena->take1<T>(values.size());
    copy_to_device<T>(exec, x, values.data());
    return x;
  }
  Tensor1<float> numbers(std::uint64_t seed, std::int64_t count) {
    std::vector<float> values(count);
    for (std::int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(philox(seed, i, 0).word[0]) / 1e9F - 2.0F;
    }
    return put(values);
  }
  Tensor2<float> matrix(std::uint64_t seed) {
    return Tensor2<float>(numbers(seed, kRows * kWidth).data(), kRows, kWidth);
  }
  template <class T>
  void say(const char* name, const Tensor1<T>& x) {
    std::vector<T> values(x.extent(0));
    copy_to_host<T>(exec, values.data(), x);
    fmt::print("{} {}\n", name, digest(values.data(), values.size() * sizeof(T)));
  }
};

template <class Real>
void digest_norm(Bench& bench, float rate, NormKind kind = NormKind::kLayer) {
  const Exec& exec = bench.exec;
  std::vector<std::uint64_t> ids(kRows);
  for (std::int64_t n = 0; n < kRows; ++n) ids[n] = n * n;
  const Dropout dropout{9, rate, bench.put(ids)};
  const auto sum = bench.matrix(1), y_float = bench.matrix(2);
  const auto y = exec.arena->take2<Real>(kRows, kWidth),
             du = exec.arena->take2<Real>(kRows, kWidth);
  const auto mean = bench.numbers(3, kRows), rstd = bench.numbers(4, kRows);
  const auto gain = bench.numbers(5, kWidth), dgain = bench.numbers(6, kWidth);
  const auto dshift = bench.numbers(7, kWidth), dbias = bench.numbers(8, kWidth);
  add_norm_forward<Real>(exec, sum, y, y_float, mean, rstd, bench.matrix(9), bench.matrix(10), gain,
                         gain, gain, {.kind = kind}, dropout);
  bench.say("sum", flat(sum));
  bench.say("y", flat(y));
  add_norm_backward<Real>(exec, y_float, du, dgain, dshift, dbias, Write::kAccumulate,
                          bench.matrix(11), bench.matrix(12), NormPlace::kPre, sum, mean, rstd,
                          gain, kind, dropout);
  bench.say("dsum", flat(y_float));
  bench.say("dupdate", flat(du));
  bench.say("dgain", dgain);
  bench.say("dshift", dshift);
  bench.say("dbias", dbias);
}

void digest_activation(Bench& bench) {
  for (const Activation kind :
       {Activation::kGelu, Activation::kGeluTanh, Activation::kTanh, Activation::kSilu}) {
    const auto y = bench.matrix(1), dx = bench.matrix(2);
    const auto dbias = bench.numbers(3, kWidth);
    activation_backward<float>(bench.exec, kind, dx, y, dbias, Write::kOverwrite, bench.matrix(4),
                               bench.matrix(5));
    bench.say("activation", flat(y));
    bench.say("dactivation", flat(dx));
    bench.say("dactivation_bias", dbias);
  }
}

template <class Real>
void digest_gated_activation(Bench& bench) {
  const Exec& exec = bench.exec;
  const auto real = [&](std::uint64_t seed, std::int64_t num_columns) {
    const auto values = bench.numbers(seed, kRows * num_columns);
    const auto x = exec.arena->take2<Real>(kRows, num_columns);
    convert<Real, float>(exec, flat(x), values);
    return x;
  };
  const auto y = real(1, kWidth), dx = real(2, 2 * kWidth);
  const auto dbias = bench.numbers(3, 2 * kWidth);
  gated_activation_backward<Real>(exec, Activation::kSilu, dx, y, dbias, Write::kAccumulate,
                                  real(4, kWidth), real(5, 2 * kWidth));
  bench.say("gated", flat(y));
  bench.say("dgated", flat(dx));
  bench.say("dgated_bias", dbias);
}

void digest_cross_entropy(Bench& bench) {
  const Exec& exec = bench.exec;
  const auto logits = bench.matrix(1), dlogits = bench.matrix(2);
  const auto labels = bench.put(std::vector<std::int32_t>(kRows, 7));
  const SoftmaxStats stats{bench.numbers(3, kRows), bench.numbers(4, kRows),
                           bench.numbers(5, kRows), exec.arena->take1<std::int32_t>(kRows),
                           bench.numbers(6, kRows)};
  softmax_stats_begin(exec, stats);
  softmax_stats_add(exec, stats, logits, labels, 0);
  softmax_gradient<float>(exec, dlogits, logits, stats.sum_M, labels, 0.5F, 0);
  bench.say("softmax_sum", stats.sum_M);
  bench.say("softmax_logit_sum", stats.logit_sum_M);
  bench.say("softmax_best", stats.best_M);
  bench.say("softmax_gradient", flat(dlogits));
  softmax_gradient<float>(exec, dlogits, logits, stats.sum_M, labels, 0.5F, 0,
                          {.label_smoothing = 0.1F,
                           .num_classes = 2 * kWidth,
                           .row_weight_M = bench.numbers(7, kRows)});
  bench.say("softmax_smoothed_gradient", flat(dlogits));
}

void digest_distillation(Bench& bench) {
  const Exec& exec = bench.exec;
  const auto student = bench.matrix(1), teacher = bench.matrix(2), dlogits = bench.matrix(3);
  const auto labels = bench.put(std::vector<std::int32_t>(kRows, 7));
  const SoftStats stats{bench.numbers(4, kRows), bench.numbers(5, kRows), bench.numbers(6, kRows),
                        bench.numbers(7, kRows), bench.numbers(8, kRows)};
  soft_stats_begin(exec, stats);
  soft_stats_add(exec, stats, student, teacher, 2.0F);
  soft_gradient_add<float>(exec, dlogits, student, teacher, stats.student_sum_M,
                           stats.teacher_sum_M, labels, 2.0F, 0.5F);
  bench.say("soft_student_sum", stats.student_sum_M);
  bench.say("soft_teacher_sum", stats.teacher_sum_M);
  bench.say("soft_difference", stats.difference_M);
  bench.say("soft_gradient", flat(dlogits));
  squared_difference<float>(exec, stats.difference_M, dlogits, student, teacher, 0.5F);
  bench.say("squared_difference", stats.difference_M);
  bench.say("squared_difference_gradient", flat(dlogits));
}

void digest_crf(Bench& bench) {
  const Exec& exec = bench.exec;
  constexpr std::int64_t kTags = 19;
  const auto square = [&](std::uint64_t seed) {
    return Tensor2<float>(bench.numbers(seed, kTags * kTags).data(), kTags, kTags);
  };
  const CrfParameters scores{square(1), bench.numbers(2, kTags), bench.numbers(3, kTags)};
  std::vector<std::int32_t> starts{0};
  while (starts.back() < kRows) {
    const std::int32_t length = philox(4, starts.size(), 0).word[0] % 30;
    starts.push_back(smaller(starts.back() + length, kRows));
  }
  const CrfWords words{Tensor2<float>(bench.numbers(5, kRows * kTags).data(), kRows, kTags),
                       bench.put(std::vector<std::int32_t>(kRows, 7)), bench.put(starts)};
  const CrfForward forward{exec.arena->take2<float>(kRows, kTags), bench.numbers(6, kRows)};
  const auto nats = exec.arena->take1<double>(starts.size() - 1);
  crf_forward(exec, nats, forward, words, scores);
  bench.say("crf_nats", nats);
  const auto demission = exec.arena->take2<float>(kRows, kTags);
  const CrfGradients gradients{square(7), bench.numbers(8, kTags), bench.numbers(9, kTags)};
  crf_backward<float>(exec, demission, gradients, Write::kAccumulate, forward, words, scores, {},
                      0.5F);
  bench.say("crf_demission", flat(demission));
  bench.say("crf_dtransition", flat(gradients.transition_KK));
  bench.say("crf_dstart", gradients.start_K);
  const auto best = exec.arena->take1<std::int32_t>(kRows);
  crf_decode(exec, best, words, scores);
  bench.say("crf_best", best);
}

void digest_tables(Bench& bench) {
  const Exec& exec = bench.exec;
  std::vector<std::int32_t> ids(kRows);
  for (std::int64_t n = 0; n < kRows; ++n) ids[n] = philox(1, n, 0).word[0] % 17;
  const RowGroups groups = group_rows(ids);
  const auto dtable = bench.matrix(1);
  embedding_backward(
      exec, dtable, bench.matrix(2),
      {bench.put(groups.rows_N), bench.put(groups.ids_U), bench.put(groups.starts_U)}, 0);
  bench.say("embedding_backward", flat(dtable));
  const auto mean = exec.arena->take2<float>(2, kWidth);
  mean_rows<float>(exec, mean, bench.matrix(3),
                   bench.put(std::vector<std::int32_t>{0, 600, kRows}));
  bench.say("mean_rows", flat(mean));
}

void digest_sums(Bench& bench) {
  const Exec& exec = bench.exec;
  const auto x = bench.matrix(1);
  const auto sums = bench.numbers(2, kWidth);
  column_sum<float>(exec, sums, Write::kAccumulate, x);
  bench.say("column_sum", sums);
  fmt::print("sum_of_squares {:a}\n", sum_of_squares(exec, flat(x)));
  const auto end = static_cast<std::int64_t>(x.size());
  fmt::print("sums_of_squares {:a}\n", sums_of_squares(exec, flat(x), {{7, end}}).front());
  const auto parameter = bench.matrix(3), first = bench.matrix(4), second = bench.matrix(5);
  fill(exec, flat(second), 0.25F);
  adamw_update<float>(
      exec, {{flat(parameter), flat(first), flat(second), flat(x), {.learning_rate = 0.01F}, {}}});
  bench.say("adamw", flat(parameter));
}

void digest_update_rules(Bench& bench) {
  const Exec& exec = bench.exec;
  const auto gradient = bench.matrix(1), parameter = bench.matrix(2), state = bench.matrix(3),
             other = bench.matrix(4), direction = bench.matrix(5);
  fill(exec, flat(other), 0.25F);
  lamb_direction(exec, flat(direction), flat(state), flat(other), flat(parameter), flat(gradient),
                 {.weight_decay = 0.1F});
  bench.say("lamb_direction", flat(direction));
  sgd_update(exec, {{flat(parameter),
                     flat(state),
                     flat(gradient),
                     {.learning_rate = 0.1F, .momentum = 0.9F, .nesterov = true}}});
  lion_update(exec, {{flat(parameter), flat(state), flat(gradient), {.learning_rate = 0.1F}}});
  bench.say("sgd and lion", flat(parameter));
  averaged_direction(exec, flat(direction), flat(state), flat(gradient), 0.5F, 0.9F, true);
  bench.say("averaged_direction", flat(direction));
  const auto rows = bench.numbers(6, kRows), columns = bench.numbers(7, kWidth);
  row_square_sums(exec, rows, gradient, 0.5F);
  column_square_sums(exec, columns, gradient, 0.5F);
  bench.say("row_square_sums", rows);
  bench.say("column_square_sums", columns);
  factored_direction(exec, direction, gradient, 0.5F, rows, columns, 2.0F);
  bench.say("factored_direction", flat(direction));
}

void digest_all() {
  constexpr std::size_t kCapacityBytes = std::size_t{128} << 20;
  void* const memory = Kokkos::kokkos_malloc<Memory>(kCapacityBytes);
  Arena arena(memory, kCapacityBytes);
  Bench bench{{Space(), &arena}};
  fmt::print("threads {}\n", Space::concurrency());
  digest_norm<float>(bench, 0.0F);
  digest_norm<float>(bench, 0.1F);
  digest_norm<bf16>(bench, 0.1F);
  digest_norm<float>(bench, 0.1F, NormKind::kRms);
  digest_activation(bench);
  digest_gated_activation<float>(bench);
  digest_gated_activation<bf16>(bench);
  digest_cross_entropy(bench);
  digest_distillation(bench);
  digest_crf(bench);
  digest_tables(bench);
  digest_sums(bench);
  digest_update_rules(bench);
  Kokkos::kokkos_free<Memory>(memory);
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  const Kokkos::ScopeGuard kokkos(argc, argv);
  polyphase::digest_all();
  return 0;
}
