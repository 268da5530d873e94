// SPDX-License-Identifier: Apache-2.0
#include "comm/tree_sum.hpp"

#include <mpi.h>

#include <limits>
#include <vector>

#include "comm/mpi_check.hpp"

namespace polyphase {
namespace {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }

}  // namespace

// Orderings that must hold: a stage's receive buffer is free again only when both requests of the
// stage are done, and the half that was sent is overwritten only by the doubling stage that mirrors
// it; so one stage is under way at a time. A sum for one rank has a stage for each halving, in
// which a rank either gives its sum away, and is done, or adds its partner's.
struct TreeSum::State {
  Communicator::Impl& impl;
  float* data;
  std::int64_t count;
  int only_on;
  int tag;
  int stage = 0;  // halving stages first, then doubling stages
  int num_halvings = 0;
  std::vector<Range> kept;      // kept[s]: this rank's range before halving stage s
  std::vector<float> received;  // the partner's values of the kept half
  MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  bool done = false;

  State(Communicator::Impl& impl_in, float* data_in, std::int64_t count_in, int only_on_in)
      : impl(impl_in), data(data_in), count(count_in), only_on(only_on_in), tag(impl.next_tag) {
    impl.next_tag = (impl.next_tag + 1) % kNumTreeSumTags;
    POLYPHASE_PROMISE(count <= std::numeric_limits<int>::max(), "a sum of {} elements", count);
    if (impl.size == 1 || count == 0) {
      done = true;
    } else if (is_power_of_two(impl.size)) {
      while ((1 << num_halvings) < impl.size) ++num_halvings;
      if (!for_one()) {
        kept.push_back({0, count});
        received.resize(static_cast<std::size_t>((count + 1) / 2));
      }
      start_stage();
    }
  }

  bool for_one() const { return only_on >= 0; }
  // Of a sum for one rank. Those that are still at it differ from that rank in the bits above.
  bool gives_away() const { return (((impl.rank ^ only_on) >> stage) & 1) == 1; }
  bool halving() const { return stage < num_halvings; }
  int level() const { return halving() ? stage : 2 * num_halvings - 1 - stage; }
  int partner() const { return impl.rank ^ (1 << level()); }

  // The half of kept[level] that this rank goes on with, and the other one.
  Range half(bool mine) const {
    const Range whole = kept[static_cast<std::size_t>(level())];
    const std::int64_t middle = whole.begin + (whole.size() + 1) / 2;
    const bool upper = (((impl.rank >> level()) & 1) == 1) == mine;
    return upper ? Range{middle, whole.end} : Range{whole.begin, middle};
  }

  void start_stage() {
    if (for_one()) return start_stage_for_one();
    const Range mine = half(true), other = half(false);
    const Range send = halving() ? other : mine;
    const Range receive = halving() ? mine : other;
    float* into = halving() ? received.data() : data + receive.begin;
    check_mpi(MPI_Irecv(into, static_cast<int>(receive.size()), MPI_FLOAT, partner(), tag,
                        impl.comm, &requests[0]),
              "MPI_Irecv");
    check_mpi(MPI_Isend(data + send.begin, static_cast<int>(send.size()), MPI_FLOAT, partner(), tag,
                        impl.comm, &requests[1]),
              "MPI_Isend");
  }

  void start_stage_for_one() {
    if (gives_away()) {
      check_mpi(MPI_Isend(data, static_cast<int>(count), MPI_FLOAT, partner(), tag, impl.comm,
                          &requests[1]),
                "MPI_Isend");
      return;
    }
    received.resize(static_cast<std::size_t>(count));
    check_mpi(MPI_Irecv(received.data(), static_cast<int>(count), MPI_FLOAT, partner(), tag,
                        impl.comm, &requests[0]),
              "MPI_Irecv");
  }

  void finish_stage_for_one() {
    done = gives_away() || stage + 1 == num_halvings;
    if (!gives_away()) {
      for (std::int64_t i = 0; i < count; ++i) data[i] += received[static_cast<std::size_t>(i)];
    }
    ++stage;
    if (done) {
      std::vector<float>().swap(received);
    } else {
      start_stage();
    }
  }

  void finish_stage() {
    if (for_one()) return finish_stage_for_one();
    if (halving()) {
      const Range mine = half(true);
      float* sum = data + mine.begin;
      for (std::int64_t i = 0; i < mine.size(); ++i)
        sum[i] += received[static_cast<std::size_t>(i)];
      kept.push_back(mine);
    }
    ++stage;
    if (stage == num_halvings) std::vector<float>().swap(received);
    if (stage == 2 * num_halvings) {
      done = true;
    } else {
      start_stage();
    }
  }

  void up_and_down_the_tree() {
    std::vector<float> other(static_cast<std::size_t>(count));
    const int length = static_cast<int>(count);
    for (int distance = 1; distance < impl.size; distance *= 2) {
      if (impl.rank % (2 * distance) == distance) {
        check_mpi(MPI_Send(data, length, MPI_FLOAT, impl.rank - distance, tag, impl.comm),
                  "MPI_Send");
        break;
      }
      if (impl.rank + distance >= impl.size) continue;
      check_mpi(MPI_Recv(other.data(), length, MPI_FLOAT, impl.rank + distance, tag, impl.comm,
                         MPI_STATUS_IGNORE),
                "MPI_Recv");
      for (std::int64_t i = 0; i < count; ++i) data[i] += other[static_cast<std::size_t>(i)];
    }
    check_mpi(MPI_Bcast(data, length, MPI_FLOAT, 0, impl.comm), "MPI_Bcast");
    done = true;
  }
};

TreeSum::TreeSum(const Communicator& ranks, float* data, std::int64_t count, int only_on)
    : state_(std::make_unique<State>(ranks.impl(), data, count, only_on)) {}
TreeSum::~TreeSum() = default;
TreeSum::TreeSum(TreeSum&&) noexcept = default;
TreeSum& TreeSum::operator=(TreeSum&&) noexcept = default;

bool TreeSum::poll() {
  while (!state_->done && state_->num_halvings > 0) {
    int arrived = 0;
    check_mpi(MPI_Testall(2, state_->requests, &arrived, MPI_STATUSES_IGNORE), "MPI_Testall");
    if (arrived == 0) return false;
    state_->finish_stage();
  }
  return state_->done;
}

void TreeSum::wait() {
  const WaitsForRanks waits(state_->impl);
  if (!state_->done && state_->num_halvings == 0) state_->up_and_down_the_tree();
  while (!state_->done) {
    check_mpi(MPI_Waitall(2, state_->requests, MPI_STATUSES_IGNORE), "MPI_Waitall");
    state_->finish_stage();
  }
}

}  // namespace polyphase
