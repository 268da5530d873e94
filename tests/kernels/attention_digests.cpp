// SPDX-License-Identifier: Apache-2.0
// Prints a digest of what attention computes, a line a tensor, to be compared between numbers of
// threads.
#include <fmt/format.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/digest.hpp"
#include "kernels/attention.hpp"
#include "kernels/attention_portable.hpp"

namespace polyphase {
namespace {

template <class T>
void print(const std::string& name, const std::vector<T>& values) {
  fmt::print("{} {}\n", name, digest(values.data(), values.size() * sizeof(T)));
}

template <class T>
Tensor2<T> matrix(std::vector<T>& values, std::int64_t num_rows) {
  return Tensor2<T>(values.data(), num_rows, static_cast<std::int64_t>(values.size()) / num_rows);
}

template <class Real>
std::vector<Real> random_values(std::int64_t count) {
  std::mt19937 generator(3);
  std::vector<Real> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(from_float<Real>(static_cast<float>(generator() % 2001) / 500.0F - 2.0F));
  }
  return values;
}

struct Case {
  std::vector<std::int32_t> starts;
  AttentionShape shape;
  float rate;
};

template <class Real>
void print_digests(const Exec& exec, const std::string& name, const Case& c) {
  const std::int64_t n = c.starts.back(), width = c.shape.num_heads * c.shape.head_width;
  auto qkv = random_values<Real>(n * 3 * width), dout = random_values<Real>(n * width);
  std::vector<Real> out(n * width), dqkv(n * 3 * width);
  std::vector<float> log_sum(n * c.shape.num_heads);
  std::vector<std::uint64_t> ids;
  for (std::int64_t i = 0; i < n; ++i) ids.push_back(i);
  Sequences sequences{c.starts, Tensor1<const std::int32_t>(c.starts.data(), c.starts.size()), n};
  const Dropout dropout{9, c.rate, Tensor1<const std::uint64_t>(ids.data(), n)};
  const auto run = [&](const std::string& which, auto forward, auto backward) {
    const Tensor2<Real> x = matrix(qkv, n), dx = matrix(dqkv, n);
    const AttentionInput<Real> input{{x, 0},    {x, width}, {x, 2 * width},
                                     sequences, sequences,  c.shape};
    forward(exec, matrix(out, n), matrix(log_sum, n), input, dropout);
    backward(exec, {dx, 0}, {dx, width}, {dx, 2 * width}, {}, Write::kOverwrite, matrix(dout, n),
             matrix(out, n), matrix(log_sum, n), input, dropout);
    print(name + which + " out", out);
    print(name + which + " log_sum", log_sum);
    print(name + which + " dqkv", dqkv);
  };
  run(" fast", &attention_forward<Real>, &attention_backward<Real>);
  run(" portable", &attention_forward_portable<Real>, &attention_backward_portable<Real>);
}

void print_all() {
  fmt::print("threads {}\n", Space().concurrency());
  std::vector<std::byte> memory(std::size_t{64} << 20);
  void* const aligned = memory.data() + 64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
  Arena arena(aligned, memory.size() - 64);
  const Exec exec{Space(), &arena};
  const Case cases[] = {
      {{0, 15, 29, 31, 46, 60},
       {.num_heads = 3,
        .num_key_heads = 3,
        .head_width = 32,
        .score_scale = 1.0F / std::sqrt(32.0F)},
       0.0F},
      {{0, 130, 141},
       {.num_heads = 2,
        .num_key_heads = 2,
        .head_width = 20,
        .score_scale = 1.0F / std::sqrt(20.0F),
        .causal = true},
       0.1F},
  };
  for (const Case& c : cases) {
    const std::string name = fmt::format("head width {}", c.shape.head_width);
    print_digests<float>(exec, name + " float", c);
    print_digests<bf16>(exec, name + " bf16", c);
  }
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  const Kokkos::ScopeGuard kokkos(argc, argv);
  polyphase::print_all();
}
