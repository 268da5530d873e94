// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.hpp"

#include "kernels/for_rows.hpp"
#include "kernels/range_sums.hpp"
#include "kernels/staging.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kElementsPerSum = 16384;

// Up to this many rows are added up in one launch, shared out by columns.
constexpr std::int64_t kRowsOfOneLaunch = 256;

std::int64_t count_of(const ColumnSums& sums) {
  std::int64_t count = 0;
  for (const Tensor1<float>& sum : sums) count += sum.extent(0) != 0 ? 1 : 0;
  return count;
}

template <class Real>
void column_sums_by_chunks(const Exec& exec, const ColumnSums& sums, Write write,
                           Tensor2<const Real> dy_NC) {
  const std::int64_t num_columns = dy_NC.extent(1), num_sums = count_of(sums);
  const std::int64_t num_rows = static_cast<std::int64_t>(dy_NC.extent(0)) / num_sums;
  const std::int64_t num_chunks = divide_up(num_columns, kColumnsPerChunk);
  const bool accumulate = write == Write::kAccumulate;
  // An array that is indexed at run time would lie in a device's memory.
  float *const first = sums[0].data(), *const second = sums[1].data(),
               *const third = sums[2].data();
  for_rows(
      exec, num_sums * num_chunks, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t sum = row.index() / num_chunks;
        ColumnChunk chunk(row, row.index() % num_chunks, num_columns);
        const std::int64_t begin = sum * num_rows;
        for (std::int64_t n = begin; n < begin + num_rows; ++n) chunk.add(row, row_data(dy_NC, n));
        float* db = (sum == 0 ? first : sum == 1 ? second : third) + chunk.begin;
        chunk.each(
            row, [=](std::int64_t c, float total) { db[c] = total + (accumulate ? db[c] : 0.0F); });
      });
}

// Rows of each of the sums that one of its blocks has.
struct BlocksOfSums {
  std::int64_t num_rows, num_blocks;  // of each sum

  KOKKOS_INLINE_FUNCTION std::int64_t begin(std::int64_t block) const {
    return block / num_blocks * num_rows + block % num_blocks * kRowsPerBlock;
  }
  KOKKOS_INLINE_FUNCTION std::int64_t end(std::int64_t block) const {
    return smaller(begin(block) + kRowsPerBlock, (block / num_blocks + 1) * num_rows);
  }
};

template <class Real>
void column_sums_by_blocks(const Exec& exec, Tensor2<float> partial_PC, Tensor2<const Real> dy_NC,
                           std::int64_t num_sums) {
  const std::int64_t num_columns = dy_NC.extent(1);
  const BlocksOfSums blocks{static_cast<std::int64_t>(dy_NC.extent(0)) / num_sums,
                            static_cast<std::int64_t>(partial_PC.extent(0)) / num_sums};
  if (Row::kOnDevice) {  // shared out by columns, too: there are more warps than blocks
    const std::int64_t num_chunks = divide_up(num_columns, kColumnsPerChunk);
    return for_rows(
        exec, partial_PC.extent(0) * num_chunks, KOKKOS_LAMBDA(const Row& row) {
          const std::int64_t block = row.index() / num_chunks, end = blocks.end(block);
          ColumnChunk chunk(row, row.index() % num_chunks, num_columns);
          for (std::int64_t n = blocks.begin(block); n < end; ++n)
            chunk.add(row, row_data(dy_NC, n));
          float* partial = row_data(partial_PC, block) + chunk.begin;
          chunk.each(row, [=](std::int64_t c, float total) { partial[c] = total; });
        });
  }
  for_rows(
      exec, partial_PC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t begin = blocks.begin(row.index()), end = blocks.end(row.index());
        float* partial = row_data(partial_PC, row.index());
        const Real* first = row_data(dy_NC, begin);
        row.each(num_columns, [=](std::int64_t c) { partial[c] = to_float(first[c]); });
        for (std::int64_t n = begin + 1; n < end; ++n) {
          const Real* dy = row_data(dy_NC, n);
          row.each(num_columns, [=](std::int64_t c) { partial[c] += to_float(dy[c]); });
        }
      });
}

// term(x) summed over blocks of fixed size in float64, then over the blocks on the host, in order.
template <class Term>
double sum_over_blocks(const Exec& exec, Tensor1<const float> x, const Term& term) {
  const std::int64_t num_elements = x.extent(0);
  const std::int64_t num_blocks = divide_up(num_elements, kElementsPerSum);
  ArenaScope scope(*exec.arena);
  const Tensor1<double> partial = exec.arena->take1<double>(num_blocks);
  for_rows(
      exec, num_blocks, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t begin = row.index() * kElementsPerSum;
        const float* values = x.data() + begin;
        partial(row.index()) =
            row.template sum<double>(smaller(kElementsPerSum, num_elements - begin),
                                     [=](std::int64_t i) { return term(values[i]); });
      });
  if (exec.counting()) return 0.0;
  std::vector<double> parts(num_blocks);
  copy_to_host<double>(exec, parts.data(), partial);
  double total = 0.0;
  for (const double part : parts) total += part;
  return total;
}

struct Magnitude {
  KOKKOS_INLINE_FUNCTION double operator()(float x) const {
    return static_cast<double>(x < 0.0F ? -x : x);
  }
};

struct NotFinite {
  KOKKOS_INLINE_FUNCTION double operator()(float x) const {
    // x - x is 0 for every finite number and NaN for every other.
    return x - x == 0.0F ? 0.0 : 1.0;
  }
};

}  // namespace

void fill(const Exec& exec, Tensor1<float> x, float value) {
  const KernelRegion region("fill");
  note_moved(exec, x);
  for_elements(
      exec, x.extent(0), KOKKOS_LAMBDA(std::int64_t i) { x.data()[i] = value; });
}

void add(const Exec& exec, Tensor1<float> y, Tensor1<const float> x) {
  const KernelRegion region("add");
  note_moved(exec, y, y, x);
  for_elements(
      exec, y.extent(0), KOKKOS_LAMBDA(std::int64_t i) { y.data()[i] += x.data()[i]; });
}

template <class Real>
void scale(const Exec& exec, Tensor1<Real> x, float factor) {
  const KernelRegion region("scale");
  note_moved(exec, x, x);
  for_elements(
      exec, x.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        x.data()[i] = from_float<Real>(to_float(x.data()[i]) * factor);
      });
}

template <class Out, class In>
void convert(const Exec& exec, Tensor1<Out> y, Tensor1<const In> x) {
  const KernelRegion region("convert");
  note_moved(exec, y, x);
  for_elements(
      exec, y.extent(0),
      KOKKOS_LAMBDA(std::int64_t i) { y.data()[i] = from_float<Out>(to_float(x.data()[i])); });
}

template <class Real>
void column_sum(const Exec& exec, Tensor1<float> db_C, Write write, Tensor2<const Real> dy_NC) {
  column_sums<Real>(exec, {db_C}, write, dy_NC);
}

template <class Real>
void column_sums(const Exec& exec, const ColumnSums& sums, Write write, Tensor2<const Real> dy_NC) {
  const std::int64_t num_sums = count_of(sums);
  if (num_sums == 0) return;
  const KernelRegion region("column_sum");
  note_moved(exec, dy_NC);
  const std::int64_t num_rows = static_cast<std::int64_t>(dy_NC.extent(0)) / num_sums;
  if (num_rows <= kRowsOfOneLaunch) return column_sums_by_chunks(exec, sums, write, dy_NC);
  ArenaScope scope(*exec.arena);
  const Tensor2<float> partial_PC =
      exec.arena->take2<float>(num_sums * divide_up(num_rows, kRowsPerBlock), dy_NC.extent(1));
  column_sums_by_blocks(exec, partial_PC, dy_NC, num_sums);
  column_sums<float>(exec, sums, write, partial_PC);
}

double sum_of_squares(const Exec& exec, Tensor1<const float> x) {
  return sums_of_squares(exec, x, {{.begin = 0, .end = static_cast<std::int64_t>(x.extent(0))}})
      .front();
}

double sum_of_magnitudes(const Exec& exec, Tensor1<const float> x) {
  const KernelRegion region("sum_of_magnitudes");
  note_moved(exec, x);
  return sum_over_blocks(exec, x, Magnitude());
}

bool all_finite(const Exec& exec, Tensor1<const float> x) {
  const KernelRegion region("all_finite");
  note_moved(exec, x);
  return sum_over_blocks(exec, x, NotFinite()) == 0.0;
}

template <class T>
void copy_to_device(const Exec& exec, Tensor1<T> to, const T* from) {
  if (exec.counting() || to.extent(0) == 0) return;
  if (stage_to_device(exec, to.data(), from, to.extent(0) * sizeof(T))) return;
  using Host = Kokkos::View<const T*, Kokkos::LayoutRight, Kokkos::HostSpace, Unmanaged>;
  Kokkos::deep_copy(exec.space, to, Host(from, to.extent(0)));
  exec.space.fence();
}

template <class T>
void copy_to_host(const Exec& exec, T* to, Tensor1<const T> from) {
  if (exec.counting() || from.extent(0) == 0) return;
  using Host = Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::HostSpace, Unmanaged>;
  Kokkos::deep_copy(exec.space, Host(to, from.extent(0)), from);
  exec.space.fence();
}

template void scale(const Exec&, Tensor1<float>, float);
template void scale(const Exec&, Tensor1<bf16>, float);
template void convert<float, float>(const Exec&, Tensor1<float>, Tensor1<const float>);
template void convert<float, bf16>(const Exec&, Tensor1<float>, Tensor1<const bf16>);
template void convert<bf16, float>(const Exec&, Tensor1<bf16>, Tensor1<const float>);
template void convert<bf16, bf16>(const Exec&, Tensor1<bf16>, Tensor1<const bf16>);
template void column_sum<float>(const Exec&, Tensor1<float>, Write, Tensor2<const float>);
template void column_sum<bf16>(const Exec&, Tensor1<float>, Write, Tensor2<const bf16>);
template void column_sums<float>(const Exec&, const ColumnSums&, Write, Tensor2<const float>);

#define POLYPHASE_COPIES(T)                                           \
  template void copy_to_device<T>(const Exec&, Tensor1<T>, const T*); \
  template void copy_to_host<T>(const Exec&, T*, Tensor1<const T>);
POLYPHASE_COPIES(float)
POLYPHASE_COPIES(double)
POLYPHASE_COPIES(bf16)
POLYPHASE_COPIES(std::byte)
POLYPHASE_COPIES(std::int32_t)
POLYPHASE_COPIES(std::uint64_t)
#undef POLYPHASE_COPIES

}  // namespace polyphase
