// SPDX-License-Identifier: Apache-2.0
// What one rank does in a second while all ranks of the job work at once: products by size,
// attention, memory, kernels over rows, and sums and exchanges between ranks by size. Prints one
// JSON line on rank 0; `scripts/bench --machine-file` makes a machine file of several such lines.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/clock.hpp"
#include "comm/exchange_parts.hpp"
#include "comm/session.hpp"
#include "comm/tree_sum.hpp"
#include "kernels/activation.hpp"
#include "kernels/adamw.hpp"
#include "kernels/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"
#include "kernels/norm.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

constexpr auto kNo = Transpose::kNo, kYes = Transpose::kYes;

struct Bench {
  const Communicator& world;
  int rounds = 5;
  bool processor_time = false;  // of the process instead of the wall's: on a busy machine
  double least_seconds = 0.03;  // of a round

  double now() const {
    if (!processor_time) return now_seconds();
    timespec time = {};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  // Seconds of one call while every rank makes it: the median of the rounds, the mean over ranks.
  double seconds(const Exec& exec, const std::function<void()>& call) const {
    call();
    const double begin = now();
    call();
    exec.space.fence();
    // As many on every rank, or those of exchanges would not meet.
    std::vector<double> all = world.gather(std::vector{now() - begin});
    const double once = *std::max_element(all.begin(), all.end());
    const int calls = std::max(1, static_cast<int>(least_seconds / std::max(once, 1e-7)));
    std::vector<double> times;
    for (int round = 0; round < rounds; ++round) {
      world.barrier();
      const double start = now();
      for (int i = 0; i < calls; ++i) call();
      exec.space.fence();
      times.push_back((now() - start) / calls);
    }
    std::sort(times.begin(), times.end());
    all = world.gather(std::vector{times[times.size() / 2]});
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
  }
};

// Memory of one measurement.
class Room {
 public:
  explicit Room(std::size_t num_bytes)
      : memory_("machine_bench", num_bytes), arena_(memory_.data(), num_bytes) {}
  Exec exec() { return {.space = {}, .arena = &arena_}; }

  template <class Real>
  Tensor2<Real> tensor(std::int64_t num_rows, std::int64_t num_columns) {
    const auto x = arena_.take2<Real>(num_rows, num_columns);
    const Exec here = exec();
    const auto ones = arena_.take1<float>(static_cast<std::int64_t>(x.size()));
    fill(here, ones, 0.5F);
    convert<Real, float>(here, flat(x), Tensor1<const float>(ones));
    return x;
  }

 private:
  Kokkos::View<std::byte*, Memory> memory_;
  Arena arena_;
};

// The three products of a weight in training: of many rows, which no cache holds, and of columns
// such that the harmonic mean of the extents is `size`, but for rounding.
template <class Real>
double product_gflops(const Bench& bench, std::int64_t size) {
  constexpr std::int64_t kRows = 4096, kMultiple = 8;
  const double columns = 2.0 / (3.0 / static_cast<double>(size) - 1.0 / double{kRows});
  const std::int64_t m = kRows,
                     n = (static_cast<std::int64_t>(columns) + kMultiple - 1) / kMultiple *
                         kMultiple,
                     k = n;
  Room room(std::size_t{512} << 20);
  const Exec exec = room.exec();
  const auto x = room.tensor<Real>(m, k), dx = room.tensor<Real>(m, k);
  const auto y = room.tensor<Real>(m, n), dy = room.tensor<Real>(m, n);
  const auto w = room.tensor<Real>(n, k);
  const auto dw = room.tensor<float>(n, k);
  const double seconds = bench.seconds(exec, [&] {
    matmul<Real, Real>(exec, y, x, kNo, w, kYes);
    matmul<Real, Real>(exec, dx, dy, kNo, w, kNo);
    matmul<Real, float>(exec, dw, dy, kYes, x, kNo);
  });
  return 3 * 2e-9 * static_cast<double>(m * n * k) / seconds;
}

// Forward and backward at sequences of 128, heads of 64.
template <class Real>
double attention_gflops(const Bench& bench) {
  constexpr std::int64_t kTokens = 128, kSequences = 8, kHeads = 12, kWidth = 64,
                         kRows = kTokens * kSequences, kColumns = kHeads * kWidth;
  Room room(std::size_t{256} << 20);
  const Exec exec = room.exec();
  std::vector<std::int32_t> starts;
  for (std::int64_t b = 0; b <= kSequences; ++b)
    starts.push_back(static_cast<std::int32_t>(b * kTokens));
  const auto on_device = exec.arena->take1<std::int32_t>(kSequences + 1);
  copy_to_device(exec, on_device, starts.data());
  const Sequences sequences = {.starts_host = starts, .starts = on_device, .max_tokens = kTokens};
  const auto qkv = room.tensor<Real>(kRows, 3 * kColumns),
             dqkv = room.tensor<Real>(kRows, 3 * kColumns),
             out = room.tensor<Real>(kRows, kColumns);
  const auto log_sum = room.tensor<float>(kRows, kHeads);
  const AttentionInput<Real> input = {.query = {qkv, 0},
                                      .key = {qkv, kColumns},
                                      .value = {qkv, 2 * kColumns},
                                      .queries = sequences,
                                      .keys = sequences,
                                      .shape = {.num_heads = kHeads,
                                                .num_key_heads = kHeads,
                                                .head_width = kWidth,
                                                .score_scale = 0.125F}};
  const auto run = [&](const Exec& where) {
    attention_forward<Real>(where, out, log_sum, input, {});
    attention_backward<Real>(where, {dqkv, 0}, {dqkv, kColumns}, {dqkv, 2 * kColumns}, {},
                             Write::kOverwrite, out, out, log_sum, input, {});
  };
  Arena counting;
  double flops = 0;
  {
    const WorkCount count;
    run({.space = {}, .arena = &counting});
    flops = count.work().attention_flops;
  }
  return 1e-9 * flops / bench.seconds(exec, [&] { run(exec); });
}

double memory_gb_s(const Bench& bench) {
  constexpr std::int64_t kRows = 2048, kColumns = 4096;
  Room room(std::size_t{512} << 20);
  const Exec exec = room.exec();
  const auto p = flat(room.tensor<float>(kRows, kColumns)),
             m = flat(room.tensor<float>(kRows, kColumns)),
             v = flat(room.tensor<float>(kRows, kColumns)),
             g = flat(room.tensor<float>(kRows, kColumns));
  AdamW rule;
  rule.learning_rate = 1e-3F;
  rule.step = rule.squares_step = 1;
  const double seconds = bench.seconds(exec, [&] {
    adamw_update<float>(exec, {{p, m, v, g, rule, {}}});
  });
  return 1e-9 * 7 * sizeof(float) * static_cast<double>(p.size()) / seconds;
}

// The kernels between a layer's products: two norms, one activation.
template <class Real>
double row_gb_s(const Bench& bench) {
  constexpr std::int64_t kRows = 1024, kC = 512, kF = 4 * kC;
  Room room(std::size_t{256} << 20);
  const Exec exec = room.exec();
  const auto residual = room.tensor<float>(kRows, kC), update = room.tensor<float>(kRows, kC),
             sum = room.tensor<float>(kRows, kC), dsum = room.tensor<float>(kRows, kC);
  const auto y = room.tensor<Real>(kRows, kC);
  const auto x = room.tensor<Real>(kRows, kF), active = room.tensor<Real>(kRows, kF);
  const auto vector = [&](std::int64_t size) { return flat(room.tensor<float>(1, size)); };
  const auto mean = vector(kRows), rstd = vector(kRows), gain = vector(kC), bias = vector(kC),
             dgain = vector(kC), dbias = vector(kC), dshift = vector(kC), dbias_F = vector(kF);
  const auto run = [&](const Exec& where) {
    for (int norm = 0; norm < 2; ++norm)
      add_norm_forward<Real>(where, sum, y, {}, mean, rstd, residual, update, bias, gain, bias, {},
                             {});
    activation_forward<Real>(where, Activation::kGelu, active, x);
    activation_backward<Real>(where, Activation::kGelu, active, {}, dbias_F, Write::kOverwrite,
                              active, x);
    for (int norm = 0; norm < 2; ++norm)
      add_norm_backward<Real>(where, dsum, y, dgain, dshift, dbias, Write::kOverwrite, update,
                              residual, NormPlace::kPre, sum, mean, rstd, gain, NormKind::kLayer,
                              {});
  };
  Arena counting;
  double bytes = 0;
  {
    const WorkCount count;
    run({.space = {}, .arena = &counting});
    bytes = count.work().moved_bytes;
  }
  return 1e-9 * bytes / bench.seconds(exec, [&] { run(exec); });
}

double kernel_us(const Bench& bench) {
  Room room(std::size_t{1} << 20);
  const Exec exec = room.exec();
  const auto x = flat(room.tensor<float>(1, 16));
  return 1e6 * bench.seconds(exec, [&] { scale<float>(exec, x, 1.0F); });
}

// Every rank gets the sum of its own part.
void sum_to_owners(const Communicator& world, float* data,
                   const std::vector<std::vector<ArrayPart>>& parts) {
  std::vector<TreeSum> sums;
  for (int owner = 0; owner < world.size(); ++owner) {
    const ArrayPart& part = parts[static_cast<std::size_t>(owner)].front();
    sums.emplace_back(world, data + part.begin, part.end - part.begin, owner);
  }
  for (TreeSum& sum : sums) sum.wait();
}

nlohmann::json collectives(const Bench& bench) {
  nlohmann::json rows = nlohmann::json::array();
  const Communicator& world = bench.world;
  if (world.size() == 1) return rows;
  Room room(std::size_t{160} << 20);
  const Exec exec = room.exec();
  const std::int64_t most = std::int64_t{16} << 20;
  const auto data = flat(room.tensor<float>(4096, most / 4096));
  fill(exec, data, 0.0F);
  for (std::int64_t floats = 256; floats <= most; floats *= 4) {
    std::vector<std::vector<ArrayPart>> parts;
    for (int r = 0; r < world.size(); ++r)
      parts.push_back(
          {{.begin = floats * r / world.size(), .end = floats * (r + 1) / world.size()}});
    const double sum = bench.seconds(exec, [&] { world.sum(data.data(), floats); });
    const double owned = bench.seconds(exec, [&] { sum_to_owners(world, data.data(), parts); });
    const double exchange = bench.seconds(exec, [&] { exchange_parts(world, data.data(), parts); });
    rows.push_back({{"bytes", 4 * floats},
                    {"sum_us", 1e6 * sum},
                    {"owned_sum_us", 1e6 * owned},
                    {"exchange_us", 1e6 * exchange}});
  }
  return rows;
}

void run(const Bench& bench, std::int64_t largest, bool collectives_alone) {
  nlohmann::json json = {{"ranks", bench.world.size()}, {"threads", Space().concurrency()}};
  if (collectives_alone) {
    json["collectives"] = collectives(bench);
    if (bench.world.rank() == 0) std::cout << json.dump() << std::endl;
    return;
  }
  for (std::int64_t size = 32; size <= largest; size *= 2) {
    json["products_f32"][std::to_string(size)] = product_gflops<float>(bench, size);
    json["products_bf16"][std::to_string(size)] = product_gflops<bf16>(bench, size);
  }
  json["attention_f32"] = attention_gflops<float>(bench);
  json["attention_bf16"] = attention_gflops<bf16>(bench);
  json["memory_gb_s"] = memory_gb_s(bench);
  json["row_f32_gb_s"] = row_gb_s<float>(bench);
  json["row_bf16_gb_s"] = row_gb_s<bf16>(bench);
  json["kernel_us"] = kernel_us(bench);
  json["collectives"] = collectives(bench);
  if (bench.world.rank() == 0) std::cout << json.dump() << std::endl;
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  std::int64_t largest = 2048;
  int rounds = 5;
  bool processor_time = false, collectives = false;
  CLI::App app("Measures what a rank does in a second");
  app.add_option("--largest-product", largest, "size of it");
  app.add_option("--rounds", rounds, "of which the median counts");
  app.add_flag("--processor-time", processor_time,
               "of the process instead of the wall's, on a busy machine: one rank of one thread");
  app.add_flag("--collectives", collectives, "sums and exchanges alone");
  CLI11_PARSE(app, argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  int kokkos_argc = 1;
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  polyphase::run({.world = session.world(), .rounds = rounds, .processor_time = processor_time},
                 largest, collectives);
  return 0;
}
