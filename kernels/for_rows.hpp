// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/columns.hpp"
#include "kernels/exec.hpp"
#include "kernels/team_policy.hpp"
#include "kernels/unroll.hpp"
#include "kernels/work.hpp"

// The one way in which kernels over rows are launched. A kernel's body sees one Row and speaks of
// its columns:
//
//   for_rows(exec, num_rows, KOKKOS_LAMBDA(const Row& row) {
//     const float* x = row_data(x_NC, row.index());
//     const float total = row.sum(num_columns, [=](std::int64_t c) { return x[c]; });
//     row.each(num_columns, [=](std::int64_t c) { y[c] = x[c] / total; });
//   });
//
// On the host a row belongs to one thread and its loops are vector loops; on a device a row belongs
// to one warp, whose lanes share the columns: column c always falls to the same lane, so a loop may
// read what an earlier one wrote at c, and after settle() at any other column too. Iterations of
// each() must not depend on one another. Sums do not depend on the number of threads.
namespace polyphase {

// Two sums that are made in one loop.
struct Pair {
  float first, second;
};

#if defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP) || defined(KOKKOS_ENABLE_SYCL)

class Row {
 public:
  static constexpr bool kOnDevice = true;
  static constexpr int kLanes = 32;
  using Member = TeamPolicy::member_type;

  KOKKOS_INLINE_FUNCTION Row(const Member& member, std::int64_t index)
      : member_(member), index_(index) {}
  KOKKOS_INLINE_FUNCTION std::int64_t index() const { return index_; }

  KOKKOS_INLINE_FUNCTION void settle() const { member_.team_barrier(); }

  template <class Body>
  KOKKOS_INLINE_FUNCTION void each(std::int64_t count, const Body& body) const {
    Kokkos::parallel_for(Kokkos::ThreadVectorRange(member_, count), body);
  }

  template <class Body>
  KOKKOS_INLINE_FUNCTION void each_columns(std::int64_t count, const Body& body) const {
    each(count, [&](std::int64_t c) { body(Column{c}); });
  }

  // Slots are counted by a loop that the compiler unrolls: an array that is indexed by them stays
  // in registers.
  template <std::int64_t kMost, class Body>
  KOKKOS_INLINE_FUNCTION void each_slot(std::int64_t count, const Body& body) const {
    Kokkos::parallel_for(Kokkos::ThreadVectorRange(member_, kLanes), [&](std::int64_t lane) {
      POLYPHASE_UNROLL
      for (int slot = 0; slot < kMost / kLanes; ++slot) {
        const std::int64_t c = lane + slot * kLanes;
        if (c < count) body(c, slot);
      }
    });
  }

  template <class T = float, class Term>
  KOKKOS_INLINE_FUNCTION T sum(std::int64_t count, const Term& term) const {
    T total = 0;
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member_, count),
        [&](std::int64_t c, T& part) { part += term(c); }, Kokkos::Sum<T>(total));
    return total;
  }

  template <class Term>
  KOKKOS_INLINE_FUNCTION Pair sum_pair(std::int64_t count, const Term& term) const {
    // A complex number is the pair that every Kokkos can reduce.
    using Complex = Kokkos::complex<float>;
    Complex total(0.0F, 0.0F);
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member_, count),
        [&](std::int64_t c, Complex& part) {
          const Pair value = term(c);
          part += Complex(value.first, value.second);
        },
        Kokkos::Sum<Complex>(total));
    return {total.real(), total.imag()};
  }

  template <class Term>
  KOKKOS_INLINE_FUNCTION float max(std::int64_t count, const Term& term) const {
    float largest = -std::numeric_limits<float>::infinity();
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member_, count),
        [&](std::int64_t c, float& part) {
          const float value = term(c);
          part = value > part ? value : part;
        },
        Kokkos::Max<float>(largest));
    // Kokkos begins with the lowest number that is finite.
    constexpr float kLowest = std::numeric_limits<float>::lowest();
    return largest == kLowest ? -std::numeric_limits<float>::infinity() : largest;
  }

  template <class Condition>
  KOKKOS_INLINE_FUNCTION std::int32_t first(std::int64_t count, const Condition& condition) const {
    std::int32_t lowest = static_cast<std::int32_t>(count);
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member_, count),
        [&](std::int64_t c, std::int32_t& part) {
          const std::int32_t found = static_cast<std::int32_t>(condition(c) ? c : count);
          part = found < part ? found : part;
        },
        Kokkos::Min<std::int32_t>(lowest));
    return lowest < count ? lowest : static_cast<std::int32_t>(count);
  }

 private:
  const Member& member_;
  std::int64_t index_;
};

template <class Body>
struct RowLaunch {
  Body body;
  KOKKOS_INLINE_FUNCTION void operator()(const Row::Member& member) const {
    body(Row(member, member.league_rank()));
  }
};

template <class Body>
void for_rows(const Exec& exec, std::int64_t num_rows, const Body& body) {
  if (num_rows == 0) return;
  if (exec.counting()) return note_start(exec);
  Kokkos::parallel_for(TeamPolicy(exec.space, static_cast<int>(num_rows), 1, Row::kLanes),
                       RowLaunch<Body>{body});
}

#else

class Row {
 public:
  static constexpr bool kOnDevice = false;
  static constexpr int kLanes = 1;  // that share a row's columns

  explicit Row(std::int64_t index) : index_(index) {}
  std::int64_t index() const { return index_; }

  // Lets every column's loops see what loops before have written at all columns.
  void settle() const {}

  // Calls body(c) for c in [0, count).
  template <class Body>
  void each(std::int64_t count, Body body) const {
#pragma omp simd
    for (std::int64_t c = 0; c < count; ++c) body(c);
  }

  // Calls body(columns) for all columns below count, in whatever columns.hpp sees at once.
  template <class Body>
  void each_columns(std::int64_t count, Body body) const {
    std::int64_t c = 0;
    for (; c + tile::kLanes <= count; c += tile::kLanes) body(Columns{c});
    if (c < count) body(LastColumns{c, count - c});
  }

  // Calls body(c, slot) for c in [0, count), count at most kMost: a column has the same slot in
  // every such loop, below kMost / kLanes, where its lane may keep something of it.
  template <std::int64_t kMost, class Body>
  void each_slot(std::int64_t count, Body body) const {
#pragma omp simd
    for (std::int64_t c = 0; c < count; ++c) body(c, c);
  }

  // The sum of term(c) over c in [0, count); term may have effects, as those of each().
  template <class T = float, class Term>
  T sum(std::int64_t count, Term term) const {
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (std::int64_t c = 0; c < count; ++c) total += term(c);
    return total;
  }

  // The sums of term(c).first and term(c).second.
  template <class Term>
  Pair sum_pair(std::int64_t count, Term term) const {
    float first = 0, second = 0;
#pragma omp simd reduction(+ : first, second)
    for (std::int64_t c = 0; c < count; ++c) {
      const Pair value = term(c);
      first += value.first;
      second += value.second;
    }
    return {first, second};
  }

  // The largest term(c), minus infinity without one; a NaN does not count.
  template <class Term>
  float max(std::int64_t count, Term term) const {
    float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
    for (std::int64_t c = 0; c < count; ++c) {
      const float value = term(c);
      largest = value > largest ? value : largest;
    }
    return largest;
  }

  // The lowest c that fulfils the condition, or count. Looks at all of them.
  template <class Condition>
  std::int32_t first(std::int64_t count, Condition condition) const {
    const std::int32_t end = static_cast<std::int32_t>(count);
    std::int32_t lowest = end;
#pragma omp simd reduction(min : lowest)
    for (std::int32_t c = 0; c < end; ++c) {
      const std::int32_t found = condition(c) ? c : end;
      lowest = found < lowest ? found : lowest;
    }
    return lowest;
  }

 private:
  std::int64_t index_;
};

template <class Body>
struct RowLaunch {
  Body body;
  void operator()(std::int64_t index) const { body(Row(index)); }
};

// Runs body(Row) for rows [0, num_rows); is but noted when the arena is counting.
template <class Body>
void for_rows(const Exec& exec, std::int64_t num_rows, const Body& body) {
  if (num_rows == 0) return;
  if (exec.counting()) return note_start(exec);
  using Policy = Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t> >;
  Kokkos::parallel_for(Policy(exec.space, 0, num_rows), RowLaunch<Body>{body});
}

#endif

// Row n of a tensor, or null when the tensor is empty: how kernels see an operand that was left
// out.
template <class T>
KOKKOS_INLINE_FUNCTION T* row_data(const Tensor2<T>& x, std::int64_t n) {
  return x.extent(0) == 0 ? nullptr : x.data() + n * static_cast<std::int64_t>(x.extent(1));
}

KOKKOS_INLINE_FUNCTION std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

KOKKOS_INLINE_FUNCTION std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

// Sums over rows have a fixed shape: blocks of this many rows give partial sums, which are then
// added in order.
inline constexpr std::int64_t kRowsPerBlock = 32;

// The same where a block does more with its rows than to add them up. On a device, where a block is
// one warp's, fewer rows have shorter blocks, so that all multiprocessors have some.
inline std::int64_t rows_per_block(std::int64_t num_rows) {
  constexpr std::int64_t kEnoughBlocks = 1024;
  if (!Row::kOnDevice) return kRowsPerBlock;
  return std::clamp<std::int64_t>(num_rows / kEnoughBlocks, 1, kRowsPerBlock);
}

// Sums over rows that cannot be cut into blocks are shared out by columns.
inline constexpr std::int64_t kColumnsPerChunk = 64;

// Sums of one chunk of columns while it is added up, row after row.
struct ColumnChunk {
  std::int64_t begin, width;
  float total[kColumnsPerChunk / Row::kLanes];

  KOKKOS_INLINE_FUNCTION ColumnChunk(const Row& row, std::int64_t chunk, std::int64_t num_columns)
      : begin(chunk * kColumnsPerChunk), width(smaller(kColumnsPerChunk, num_columns - begin)) {
    row.each_slot<kColumnsPerChunk>(width,
                                    [&](std::int64_t, std::int64_t slot) { total[slot] = 0.0F; });
  }

  template <class Real>
  KOKKOS_INLINE_FUNCTION void add(const Row& row, const Real* x) {
    row.each_slot<kColumnsPerChunk>(
        width, [&](std::int64_t c, std::int64_t slot) { total[slot] += to_float(x[begin + c]); });
  }

  // Calls body(c, sum) for the columns of the chunk, counted in it.
  template <class Body>
  KOKKOS_INLINE_FUNCTION void each(const Row& row, const Body& body) const {
    row.each_slot<kColumnsPerChunk>(
        width, [&](std::int64_t c, std::int64_t slot) { body(c, total[slot]); });
  }
};

template <class Body>
struct ElementBlock {
  static constexpr std::int64_t kElements = 2048;
  std::int64_t num_elements;
  Body body;
  KOKKOS_INLINE_FUNCTION void operator()(const Row& row) const {
    const std::int64_t begin = row.index() * kElements;
    const Body copy = body;
    row.each(smaller(kElements, num_elements - begin), [=](std::int64_t i) { copy(begin + i); });
  }
};

// Runs body(i) for elements [0, num_elements), which must not depend on one another.
template <class Body>
void for_elements(const Exec& exec, std::int64_t num_elements, const Body& body) {
  for_rows(exec, divide_up(num_elements, ElementBlock<Body>::kElements),
           ElementBlock<Body>{num_elements, body});
}

}  // namespace polyphase
