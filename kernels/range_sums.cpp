// SPDX-License-Identifier: Apache-2.0
#include "kernels/range_sums.hpp"

#include <algorithm>

#include "kernels/elementwise.hpp"
#include "kernels/for_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kElementsPerChunk = 16384;

}  // namespace

std::vector<double> sums_of_squares(const Exec& exec, Tensor1<const float> x,
                                    const std::vector<ElementRange>& ranges) {
  const KernelRegion region("sums_of_squares");
  std::int64_t num_elements = 0, num_chunks = 0;
  for (const ElementRange& range : ranges) {
    num_elements += range.end - range.begin;
    num_chunks += divide_up(range.end - range.begin, kElementsPerChunk);
  }
  note_moved(exec, Tensor1<const float>(x.data(), num_elements));
  ArenaScope scope(*exec.arena);
  const Tensor1<std::uint64_t> begin_P = exec.arena->take1<std::uint64_t>(num_chunks),
                               length_P = exec.arena->take1<std::uint64_t>(num_chunks);
  const Tensor1<double> partial_P = exec.arena->take1<double>(num_chunks);
  std::vector<double> sums(ranges.size(), 0.0);
  if (exec.counting()) {  // a list of a large model's chunks would take a while
    note_start(exec);
    return sums;
  }
  std::vector<std::uint64_t> begins, lengths;
  std::vector<std::size_t> owners;  // the range of each chunk
  for (std::size_t range = 0; range < ranges.size(); ++range) {
    for (std::int64_t begin = ranges[range].begin; begin < ranges[range].end;
         begin += kElementsPerChunk) {
      begins.push_back(static_cast<std::uint64_t>(begin));
      lengths.push_back(
          static_cast<std::uint64_t>(std::min(kElementsPerChunk, ranges[range].end - begin)));
      owners.push_back(range);
    }
  }
  copy_to_device<std::uint64_t>(exec, begin_P, begins.data());
  copy_to_device<std::uint64_t>(exec, length_P, lengths.data());
  for_rows(
      exec, num_chunks, KOKKOS_LAMBDA(const Row& row) {
        const float* values = x.data() + begin_P(row.index());
        partial_P(row.index()) = row.template sum<double>(
            static_cast<std::int64_t>(length_P(row.index())), [=](std::int64_t i) {
              const auto value = static_cast<double>(values[i]);
              return value * value;
            });
      });
  std::vector<double> parts(begins.size());
  copy_to_host<double>(exec, parts.data(), partial_P);
  for (std::size_t chunk = 0; chunk < parts.size(); ++chunk) sums[owners[chunk]] += parts[chunk];
  return sums;
}

}  // namespace polyphase
