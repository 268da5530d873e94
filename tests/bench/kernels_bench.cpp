// SPDX-License-Identifier: Apache-2.0
// Products and attention at the shapes of training; OMP_NUM_THREADS says how many threads.
// Counters: GFLOP/s of the arithmetic that has to be done (the causal half is not discounted,
// dropout and exponentials are not counted).
#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/matmul.hpp"

namespace polyphase {
namespace {

// Memory of one benchmark: an arena of fixed size, and values between -1 and 1 in whatever is taken
// from it.
class Bench {
 public:
  Bench() : memory_("bench", kBytes), arena_(memory_.data(), kBytes), exec_{Space(), &arena_} {}

  const Exec& exec() const { return exec_; }

  template <class Real>
  Tensor2<Real> tensor(std::int64_t num_rows, std::int64_t num_columns) {
    const auto x = arena_.take2<Real>(num_rows, num_columns);
    Real* const data = x.data();
    Kokkos::parallel_for(
        "bench_values", Kokkos::RangePolicy<Space>(exec_.space, 0, x.size()),
        KOKKOS_LAMBDA(std::int64_t i) {
          data[i] = from_float<Real>(static_cast<float>(i * 7919 % 2003) / 1001.0F - 1.0F);
        });
    return x;
  }

  void finish(benchmark::State& state, double flops) const {
    state.counters["GFLOP/s"] =
        benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{1} << 28;
  Kokkos::View<std::byte*, Memory> memory_;
  Arena arena_;
  Exec exec_;
};

constexpr auto kNo = Transpose::kNo, kYes = Transpose::kYes;

// y_MN = x_MK · Wᵀ with W stored N×K.
template <class Real>
void forward_product(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Bench bench;
  const auto y = bench.tensor<Real>(m, n), x = bench.tensor<Real>(m, k),
             w = bench.tensor<Real>(n, k);
  for (auto _ : state) {
    matmul<Real, Real>(bench.exec(), y, x, kNo, w, kYes);
    bench.exec().space.fence();
  }
  bench.finish(state, 2.0 * m * n * k);
}

// The same with a weight kept in float32 and packed for every product, as after every step of the
// optimizer.
template <class Real>
void packed_forward_product(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Bench bench;
  const auto y = bench.tensor<Real>(m, n), x = bench.tensor<Real>(m, k);
  const auto w = bench.tensor<float>(n, k);
  for (auto _ : state) {
    const ArenaScope scope(*bench.exec().arena);
    const PackedWeight packed = pack_weight<Real>(bench.exec(), w, kYes, m);
    matmul<Real, Real>(bench.exec(), y, x, kNo, packed);
    bench.exec().space.fence();
  }
  bench.finish(state, 2.0 * m * n * k);
}

// dx_MK = dy_MN · W.
template <class Real>
void input_gradient(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Bench bench;
  const auto dy = bench.tensor<Real>(m, n), dx = bench.tensor<Real>(m, k),
             w = bench.tensor<Real>(n, k);
  for (auto _ : state) {
    matmul<Real, Real>(bench.exec(), dx, dy, kNo, w, kNo);
    bench.exec().space.fence();
  }
  bench.finish(state, 2.0 * m * n * k);
}

// dW_NK += dy_MNᵀ · x_MK.
template <class Real>
void weight_gradient(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Bench bench;
  const auto dy = bench.tensor<Real>(m, n), x = bench.tensor<Real>(m, k);
  const auto dw = bench.tensor<float>(n, k);
  for (auto _ : state) {
    matmul<Real, float>(bench.exec(), dw, dy, kYes, x, kNo, Write::kAccumulate);
    bench.exec().space.fence();
  }
  bench.finish(state, 2.0 * m * n * k);
}

// Sequences of equal length; range(0): length, range(1): rows in all, range(2): heads, range(3):
// dropout in per cent.
struct AttentionCase {
  explicit AttentionCase(const benchmark::State& state)
      : num_rows(state.range(1)), num_tokens(state.range(0)) {
    shape = {.num_heads = state.range(2),
             .num_key_heads = state.range(2),
             .head_width = 64,
             .score_scale = 0.125F};
    for (std::int64_t row = 0; row <= num_rows; row += num_tokens) {
      starts.push_back(static_cast<std::int32_t>(row));
    }
    for (std::int64_t row = 0; row < num_rows; ++row) row_ids.push_back(row);
    device_starts = Kokkos::View<std::int32_t*, Memory>("starts", starts.size());
    device_ids = Kokkos::View<std::uint64_t*, Memory>("row_ids", row_ids.size());
    Kokkos::deep_copy(device_starts, Kokkos::View<std::int32_t*, Kokkos::HostSpace, Unmanaged>(
                                         starts.data(), starts.size()));
    Kokkos::deep_copy(device_ids, Kokkos::View<std::uint64_t*, Kokkos::HostSpace, Unmanaged>(
                                      row_ids.data(), row_ids.size()));
    sequences = {starts, Tensor1<const std::int32_t>(device_starts.data(), starts.size()),
                 num_tokens};
    dropout = {1, static_cast<float>(state.range(3)) / 100.0F,
               Tensor1<const std::uint64_t>(device_ids.data(), row_ids.size())};
  }
  double flops_of_a_product() const {
    return 2.0 * num_rows * num_tokens * shape.num_heads * shape.head_width;
  }

  std::int64_t num_rows, num_tokens;
  AttentionShape shape;
  std::vector<std::int32_t> starts;
  std::vector<std::uint64_t> row_ids;
  Kokkos::View<std::int32_t*, Memory> device_starts;
  Kokkos::View<std::uint64_t*, Memory> device_ids;
  Sequences sequences;
  Dropout dropout;
};

template <class Real>
void attention(benchmark::State& state, bool backward) {
  const AttentionCase c(state);
  const std::int64_t width = c.shape.num_heads * c.shape.head_width;
  Bench bench;
  const auto qkv = bench.tensor<Real>(c.num_rows, 3 * width);
  const auto dqkv = bench.tensor<Real>(c.num_rows, 3 * width);
  const auto out = bench.tensor<Real>(c.num_rows, width),
             dout = bench.tensor<Real>(c.num_rows, width);
  const auto log_sum = bench.tensor<float>(c.num_rows, c.shape.num_heads);
  const AttentionInput<Real> input{.query = {qkv, 0},
                                   .key = {qkv, width},
                                   .value = {qkv, 2 * width},
                                   .queries = c.sequences,
                                   .keys = c.sequences,
                                   .shape = c.shape};
  attention_forward<Real>(bench.exec(), out, log_sum, input, c.dropout);
  for (auto _ : state) {
    if (backward) {
      attention_backward<Real>(bench.exec(), {dqkv, 0}, {dqkv, width}, {dqkv, 2 * width}, {},
                               Write::kOverwrite, dout, out, log_sum, input, c.dropout);
    } else {
      attention_forward<Real>(bench.exec(), out, log_sum, input, c.dropout);
    }
    bench.exec().space.fence();
  }
  bench.finish(state, (backward ? 5 : 2) * c.flops_of_a_product());
}

template <class Real>
void attention_forward_bench(benchmark::State& state) {
  attention<Real>(state, false);
}
template <class Real>
void attention_backward_bench(benchmark::State& state) {
  attention<Real>(state, true);
}

void product_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"M", "N", "K"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{4096, 768, 256},
                                {4096, 256, 256},
                                {4096, 1024, 256},
                                {4096, 256, 1024},
                                {1024, 2304, 768},
                                {1024, 768, 768},
                                {1024, 3072, 768},
                                {1024, 768, 3072}}) {
    bench->Args({m, n, k});
  }
}

void attention_shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "rows", "heads", "dropout_%"})
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
  for (const std::int64_t tokens : {16, 32, 64, 128}) bench->Args({tokens, 4096, 4, 0});
  bench->Args({128, 4096, 4, 10})->Args({15, 1920, 4, 0})->Args({128, 1024, 12, 0});
}

BENCHMARK_TEMPLATE(forward_product, float)->Apply(product_shapes);
BENCHMARK_TEMPLATE(forward_product, bf16)->Apply(product_shapes);
BENCHMARK_TEMPLATE(packed_forward_product, float)->Apply(product_shapes);
BENCHMARK_TEMPLATE(packed_forward_product, bf16)->Apply(product_shapes);
BENCHMARK_TEMPLATE(input_gradient, float)->Apply(product_shapes);
BENCHMARK_TEMPLATE(input_gradient, bf16)->Apply(product_shapes);
BENCHMARK_TEMPLATE(weight_gradient, float)->Apply(product_shapes);
BENCHMARK_TEMPLATE(weight_gradient, bf16)->Apply(product_shapes);
BENCHMARK_TEMPLATE(attention_forward_bench, float)->Apply(attention_shapes);
BENCHMARK_TEMPLATE(attention_forward_bench, bf16)->Apply(attention_shapes);
BENCHMARK_TEMPLATE(attention_backward_bench, float)->Apply(attention_shapes);
BENCHMARK_TEMPLATE(attention_backward_bench, bf16)->Apply(attention_shapes);

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  const Kokkos::ScopeGuard kokkos(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  benchmark::RunSpecifiedBenchmarks();
}
