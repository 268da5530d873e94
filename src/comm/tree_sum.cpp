// SPDX-License-Identifier: Apache-2.0
#include "comm/tree_sum.hpp"

#include <mpi.h>

#include <limits>
#include <vector>

#include "comm/mpi_check.hpp"

namespace polyphase {

struct TreeSum::State {
  Communicator::Impl& impl;
  float* data;
  int tag;
  std::vector<TreeStage> stages;
  std::size_t next = 0;  // the stage under way
  std::vector<float> received;
  MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};

  State(Communicator::Impl& impl_in, float* data_in, std::int64_t count, int only_on)
      : impl(impl_in),
        data(data_in),
        tag(impl.next_tag),
        stages(stages_of_tree_sum(impl.rank, impl.size, count, only_on)),
        received(static_cast<std::size_t>(most_added(stages))) {
    impl.next_tag = (impl.next_tag + 1) % kNumTreeSumTags;
    POLYPHASE_PROMISE(count <= std::numeric_limits<int>::max(), "a sum of {} elements", count);
    if (!done()) start_stage();
  }

  bool done() const { return next == stages.size(); }

  void start_stage() {
    const TreeStage& stage = stages[next];
    if (stage.receive.size() > 0) {
      float* into = stage.adds ? received.data() : data + stage.receive.begin;
      check_mpi(MPI_Irecv(into, static_cast<int>(stage.receive.size()), MPI_FLOAT, stage.partner,
                          tag, impl.comm, &requests[0]),
                "MPI_Irecv");
    }
    if (stage.send.size() > 0) {
      check_mpi(MPI_Isend(data + stage.send.begin, static_cast<int>(stage.send.size()), MPI_FLOAT,
                          stage.partner, tag, impl.comm, &requests[1]),
                "MPI_Isend");
    }
  }

  void finish_stage() {
    const TreeStage& stage = stages[next++];
    if (stage.adds) {
      float* sum = data + stage.receive.begin;
      for (std::int64_t i = 0; i < stage.receive.size(); ++i)
        sum[i] += received[static_cast<std::size_t>(i)];
    }
    const bool adds_again = !done() && stages[next].adds;
    if (!adds_again) std::vector<float>().swap(received);
    if (!done()) start_stage();
  }
};

TreeSum::TreeSum(const Communicator& ranks, float* data, std::int64_t count, int only_on)
    : state_(std::make_unique<State>(ranks.impl(), data, count, only_on)) {}
TreeSum::~TreeSum() = default;
TreeSum::TreeSum(TreeSum&&) noexcept = default;
TreeSum& TreeSum::operator=(TreeSum&&) noexcept = default;

bool TreeSum::poll() {
  while (!state_->done()) {
    int arrived = 0;
    check_mpi(MPI_Testall(2, state_->requests, &arrived, MPI_STATUSES_IGNORE), "MPI_Testall");
    if (arrived == 0) return false;
    state_->finish_stage();
  }
  return true;
}

void TreeSum::wait() {
  const WaitsForRanks waits(state_->impl);
  while (!state_->done()) {
    check_mpi(MPI_Waitall(2, state_->requests, MPI_STATUSES_IGNORE), "MPI_Waitall");
    state_->finish_stage();
  }
}

}  // namespace polyphase
