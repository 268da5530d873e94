// SPDX-License-Identifier: Apache-2.0
#include "comm/communicator.hpp"

#include <mpi.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "comm/mpi_check.hpp"
#include "comm/tree_sum.hpp"

namespace polyphase {
namespace {

template <class T>
void all_reduce(Communicator::Impl& impl, T* data, std::int64_t count, MPI_Datatype type,
                MPI_Op op) {
  const WaitsForRanks waits(impl);
  if (impl.size == 1) return;
  for (std::int64_t first = 0; first < count; first += kMaxCount) {
    const int piece = static_cast<int>(std::min(kMaxCount, count - first));
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, data + first, piece, type, op, impl.comm),
              "MPI_Allreduce");
  }
}

template <class T>
std::vector<T> gather_equal(Communicator::Impl& impl, const std::vector<T>& mine,
                            MPI_Datatype type) {
  std::vector<T> all(mine.size() * static_cast<std::size_t>(impl.size));
  const int count = static_cast<int>(mine.size());
  const WaitsForRanks waits(impl);
  check_mpi(MPI_Allgather(mine.data(), count, type, all.data(), count, type, impl.comm),
            "MPI_Allgather");
  return all;
}

}  // namespace

Communicator::Communicator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Communicator::Communicator(Communicator&&) noexcept = default;
Communicator& Communicator::operator=(Communicator&&) noexcept = default;

Communicator::~Communicator() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (impl_ && impl_->owned && finalized == 0) MPI_Comm_free(&impl_->comm);
}

int Communicator::rank() const { return impl_->rank; }
int Communicator::size() const { return impl_->size; }
double Communicator::wait_seconds() const { return impl_->wait_seconds; }

void Communicator::sum(float* data, std::int64_t count) const {
  TreeSum sum(*this, data, count);
  sum.wait();
}

void Communicator::max(float* data, std::int64_t count) const {
  all_reduce(*impl_, data, count, MPI_FLOAT, MPI_MAX);
}

void Communicator::sum(std::int64_t* data, std::int64_t count) const {
  all_reduce(*impl_, data, count, MPI_INT64_T, MPI_SUM);
}

void Communicator::max(std::int64_t* data, std::int64_t count) const {
  all_reduce(*impl_, data, count, MPI_INT64_T, MPI_MAX);
}

std::vector<double> Communicator::gather(const std::vector<double>& mine) const {
  return gather_equal(*impl_, mine, MPI_DOUBLE);
}

std::vector<std::int64_t> Communicator::gather(const std::vector<std::int64_t>& mine) const {
  return gather_equal(*impl_, mine, MPI_INT64_T);
}

std::vector<std::string> Communicator::gather(const std::string& mine) const {
  const std::vector<std::int64_t> lengths =
      gather(std::vector{static_cast<std::int64_t>(mine.size())});
  std::vector<int> counts, offsets;
  std::int64_t total = 0;
  for (const std::int64_t length : lengths) {
    counts.push_back(static_cast<int>(length));
    offsets.push_back(static_cast<int>(total));
    total += length;
  }
  POLYPHASE_PROMISE(total < std::numeric_limits<int>::max(), "gathered text of {} bytes", total);
  std::string all(static_cast<std::size_t>(total), '\0');
  const WaitsForRanks waits(*impl_);
  check_mpi(MPI_Allgatherv(mine.data(), static_cast<int>(mine.size()), MPI_CHAR, all.data(),
                           counts.data(), offsets.data(), MPI_CHAR, impl_->comm),
            "MPI_Allgatherv");
  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    texts.push_back(all.substr(static_cast<std::size_t>(offsets[rank]),
                               static_cast<std::size_t>(counts[rank])));
  }
  return texts;
}

// As sums of their bits, which no rounding changes.
void Communicator::combine(std::vector<double>& numbers) const {
  if (size() == 1) return;
  std::vector<std::int64_t> bits;
  for (const double number : numbers) bits.push_back(std::bit_cast<std::int64_t>(number));
  sum(bits.data(), static_cast<std::int64_t>(bits.size()));
  for (std::size_t i = 0; i < bits.size(); ++i) numbers[i] = std::bit_cast<double>(bits[i]);
}

std::string Communicator::broadcast(const std::string& text, int root) const {
  const WaitsForRanks waits(*impl_);
  std::int64_t length = static_cast<std::int64_t>(text.size());
  check_mpi(MPI_Bcast(&length, 1, MPI_INT64_T, root, impl_->comm), "MPI_Bcast");
  POLYPHASE_PROMISE(length < std::numeric_limits<int>::max(), "broadcast text of {} bytes", length);
  std::string received =
      impl_->rank == root ? text : std::string(static_cast<std::size_t>(length), '\0');
  check_mpi(MPI_Bcast(received.data(), static_cast<int>(length), MPI_CHAR, root, impl_->comm),
            "MPI_Bcast");
  return received;
}

void Communicator::barrier() const {
  const WaitsForRanks waits(*impl_);
  check_mpi(MPI_Barrier(impl_->comm), "MPI_Barrier");
}

}  // namespace polyphase
