// SPDX-License-Identifier: Apache-2.0
// Prints a digest of what attention computes, a line a tensor, to be compared between numbers of
// threads.
#include <fmt/format.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/digest.hpp"
#include "kernels/attention_divergence.hpp"
#include "kernels/attention_portable.hpp"
#include "kernels/rotary.hpp"

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
  std::string name;
  std::vector<std::int32_t> starts;
  AttentionShape shape;
  float rate;
  std::vector<std::int32_t> key_starts = {};  // empty: self attention
  std::vector<std::int32_t> prefix = {};
  std::int64_t num_buckets = 0;
};

Sequences sequences_of(const std::vector<std::int32_t>& starts,
                       const std::vector<std::int32_t>& prefix) {
  const auto view = [](const std::vector<std::int32_t>& x) {
    return Tensor1<const std::int32_t>(x.data(), x.size());
  };
  return {starts, view(starts), starts.back(), prefix, view(prefix)};
}

// Queries, keys and values in one tensor (self attention), or keys and values in another.
template <class Real>
struct Digests {
  Digests(const Exec& on, const Case& of)
      : exec(on),
        c(of),
        self(c.key_starts.empty()),
        num_rows(c.starts.back()),
        num_key_rows(self ? num_rows : c.key_starts.back()),
        width(c.shape.num_heads * c.shape.head_width),
        key_width(c.shape.num_key_heads * c.shape.head_width),
        x(random_values<Real>(num_rows * (width + (self ? 2 * key_width : 0)))),
        y(random_values<Real>(self ? 0 : num_key_rows * 2 * key_width)),
        dout(random_values<Real>(num_rows * width)),
        dx(x.size()),
        dy(y.size()),
        out(dout.size()),
        log_sum(num_rows * c.shape.num_heads),
        table(random_values<float>(c.num_buckets * c.shape.num_heads)),
        dtable(table.size()),
        queries(sequences_of(c.starts, c.prefix)),
        keys(sequences_of(self ? c.starts : c.key_starts, c.prefix)) {
    for (std::int64_t i = 0; i < num_rows; ++i) ids.push_back(i);
  }

  Tensor2<float> positions(std::vector<float>& values) const {
    return Tensor2<float>(values.data(), c.num_buckets, c.shape.num_heads);
  }

  template <class Forward, class Backward>
  void print_all(const std::string& name, Forward forward, Backward backward) {
    const Tensor2<Real> query = matrix(x, num_rows), dquery = matrix(dx, num_rows);
    const Tensor2<Real> key = self ? query : matrix(y, num_key_rows);
    const Tensor2<Real> dkey = self ? dquery : matrix(dy, num_key_rows);
    const std::int64_t first = self ? width : 0;
    const Dropout dropout{9, c.rate, Tensor1<const std::uint64_t>(ids.data(), ids.size())};
    const AttentionInput<Real> input{{query, 0},
                                     {key, first},
                                     {key, first + key_width},
                                     queries,
                                     self ? queries : keys,
                                     c.shape,
                                     {.table_UH = positions(table), .bidirectional = false}};
    forward(exec, matrix(out, num_rows), matrix(log_sum, num_rows), input, dropout);
    backward(exec, {dquery, 0}, {dkey, first}, {dkey, first + key_width}, positions(dtable),
             Write::kOverwrite, matrix(dout, num_rows), matrix(out, num_rows),
             matrix(log_sum, num_rows), input, dropout);
    print(name + " out", out);
    print(name + " log_sum", log_sum);
    print(name + (self ? " dqkv" : " dq"), dx);
    if (!self) print(name + " dkv", dy);
    if (!table.empty()) print(name + " dtable", dtable);
  }

  // From what the same attention would be with smaller scores.
  template <class Forward, class Divergence, class Backward>
  void print_divergence(const std::string& name, Forward forward, Divergence divergence,
                        Backward backward) {
    const Tensor2<Real> query = matrix(x, num_rows), dquery = matrix(dx, num_rows);
    const Tensor2<Real> key = self ? query : matrix(y, num_key_rows);
    const Tensor2<Real> dkey = self ? dquery : matrix(dy, num_key_rows);
    const std::int64_t first = self ? width : 0;
    std::vector<float> others(log_sum.size()), divergences(log_sum.size());
    const auto attention = [&](float scale, std::vector<float>& sums) {
      AttentionShape shape = c.shape;
      shape.score_scale *= scale;
      const AttentionInput<Real> input{{query, 0},
                                       {key, first},
                                       {key, first + key_width},
                                       queries,
                                       self ? queries : keys,
                                       shape,
                                       {.table_UH = positions(table), .bidirectional = false}};
      forward(exec, matrix(out, num_rows), matrix(sums, num_rows), input, {});
      return DoneAttention<Real>{input, matrix(sums, num_rows)};
    };
    const DoneAttention<Real> student = attention(1.0F, log_sum), teacher = attention(0.5F, others);
    divergence(exec, matrix(divergences, num_rows), student, teacher);
    backward(exec, {dquery, 0}, {dkey, first}, positions(dtable), student, teacher, 0.5F);
    print(name + " divergence", divergences);
    print(name + " dx of divergence", dx);
    if (!self) print(name + " dkv of divergence", dy);
    if (!table.empty()) print(name + " dtable of divergence", dtable);
  }

  const Exec& exec;
  const Case& c;
  bool self;
  std::int64_t num_rows, num_key_rows, width, key_width;
  std::vector<Real> x, y, dout, dx, dy, out;
  std::vector<float> log_sum, table, dtable;
  Sequences queries, keys;
  std::vector<std::uint64_t> ids;
};

template <class Real>
void print_digests(const Exec& exec, const std::string& name, const Case& c) {
  Digests<Real> digests(exec, c);
  digests.print_all(name + " fast", &attention_forward<Real>, &attention_backward<Real>);
  digests.print_all(name + " portable", &attention_forward_portable<Real>,
                    &attention_backward_portable<Real>);
  digests.print_divergence(name + " fast", &attention_forward<Real>, &attention_divergence<Real>,
                           &attention_divergence_backward<Real>);
  digests.print_divergence(name + " portable", &attention_forward_portable<Real>,
                           &attention_divergence_portable<Real>,
                           &attention_divergence_backward_portable<Real>);
}

template <class Real>
void print_rotary(const Exec& exec, const std::string& name) {
  constexpr std::int64_t kRows = 300, kHeads = 3, kWidth = 40;
  auto x = random_values<Real>(kRows * kHeads * kWidth);
  std::vector<std::int32_t> positions;
  for (std::int32_t n = 0; n < kRows; ++n) positions.push_back(n * 7 % 100);
  const Tensor1<const std::int32_t> positions_N(positions.data(), positions.size());
  for (const Direction direction : {Direction::kForward, Direction::kBackward}) {
    rotary<Real>(exec, {matrix(x, kRows), 0}, kHeads, kWidth, positions_N, 1e4, direction);
    print(name, x);
  }
}

void print_all() {
  fmt::print("threads {}\n", Space().concurrency());
  std::vector<std::byte> memory(std::size_t{64} << 20);
  void* const aligned = memory.data() + 64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
  Arena arena(aligned, memory.size() - 64);
  const Exec exec{Space(), &arena};
  const float scale32 = 1.0F / std::sqrt(32.0F), scale20 = 1.0F / std::sqrt(20.0F);
  const Case cases[] = {
      {"head width 32",
       {0, 15, 29, 31, 46, 60},
       {.num_heads = 3, .num_key_heads = 3, .head_width = 32, .score_scale = scale32},
       0.0F},
      {"head width 20",
       {0, 130, 141},
       {.num_heads = 2,
        .num_key_heads = 2,
        .head_width = 20,
        .score_scale = scale20,
        .causal = true},
       0.1F},
      {"grouped, prefixed, positioned",
       {0, 70, 71, 90, 111},
       {.num_heads = 4,
        .num_key_heads = 2,
        .head_width = 20,
        .score_scale = scale20,
        .causal = true},
       0.1F,
       {},
       {20, 0, 5, 1},
       32},
      {"other keys",
       {0, 70, 71, 71, 111},
       {.num_heads = 4, .num_key_heads = 1, .head_width = 12, .score_scale = 1.0F, .causal = true},
       0.1F,
       {0, 50, 121, 130, 130},
       {},
       8},
  };
  for (const Case& c : cases) {
    print_digests<float>(exec, c.name + " float", c);
    print_digests<bf16>(exec, c.name + " bf16", c);
  }
  print_rotary<float>(exec, "rotary float");
  print_rotary<bf16>(exec, "rotary bf16");
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  const Kokkos::ScopeGuard kokkos(argc, argv);
  polyphase::print_all();
}
