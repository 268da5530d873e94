// SPDX-License-Identifier: Apache-2.0
#include "comm/groups.hpp"

#include <mpi.h>

#include <chrono>
#include <thread>
#include <vector>

#include "comm/mpi_check.hpp"

namespace polyphase {
namespace {

constexpr std::chrono::milliseconds kPause(5);

}  // namespace

// Orderings that must hold: a word is sent before its sender comes to meet(), where every group's
// rank 0 takes in as many as were sent to it; so none is left for the next time.
struct RankGroups::State {
  const Communicator& world;
  int size;
  Communicator ranks;
  RankGrid grid;
  std::int64_t told = 0, heard = 0;
  int num_received = 0;
  std::vector<MPI_Request> sends;

  State(const Communicator& world_in, int size_in, int tensor_size, int pipeline_size)
      : world(world_in),
        size(size_in),
        ranks(split(world_in.impl(), world_in.rank() / size_in, world_in.rank())),
        grid(make_grid(ranks, tensor_size, pipeline_size)) {}

  int count() const { return world.size() / size; }
  int own() const { return world.rank() / size; }

  void receive(int source) {
    check_mpi(
        MPI_Recv(&heard, 1, MPI_INT64_T, source, kGroupsTag, world.impl().comm, MPI_STATUS_IGNORE),
        "MPI_Recv");
    ++num_received;
  }

  void wait_for_all(const std::function<void()>& meanwhile) {
    const WaitsForRanks waits(world.impl());
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Ibarrier(world.impl().comm, &request), "MPI_Ibarrier");
    for (;;) {
      int done = 0;
      check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
      if (done != 0) return;
      meanwhile();
      std::this_thread::sleep_for(kPause);
    }
  }

  void take_in_the_rest() {
    const std::vector<std::int64_t> words = world.gather(std::vector{told});
    int num_sent_here = 0;
    for (int rank = 0; rank < world.size(); ++rank) {
      if (rank / size != own() && words[static_cast<std::size_t>(rank)] != 0) ++num_sent_here;
    }
    if (ranks.rank() == 0) {
      while (num_received < num_sent_here) receive(MPI_ANY_SOURCE);
    }
    check_mpi(MPI_Waitall(static_cast<int>(sends.size()), sends.data(), MPI_STATUSES_IGNORE),
              "MPI_Waitall");
    sends.clear();
    told = heard = num_received = 0;
  }
};

RankGroups::RankGroups(const Communicator& world, int size, int tensor_size, int pipeline_size) {
  POLYPHASE_PROMISE(size > 0 && world.size() % size == 0, "groups of {} of {} ranks", size,
                    world.size());
  state_ = std::make_unique<State>(world, size, tensor_size, pipeline_size);
}

RankGroups::~RankGroups() = default;

int RankGroups::count() const { return state_->count(); }
int RankGroups::own() const { return state_->own(); }
const Communicator& RankGroups::ranks() const { return state_->ranks; }
const RankGrid& RankGroups::grid() const { return state_->grid; }

void RankGroups::tell(std::int64_t word) {
  State& s = *state_;
  if (s.told != 0) return;
  s.told = word;
  for (int group = 0; group < s.count(); ++group) {
    if (group == s.own()) continue;
    s.sends.push_back(MPI_REQUEST_NULL);
    check_mpi(MPI_Isend(&s.told, 1, MPI_INT64_T, group * s.size, kGroupsTag, s.world.impl().comm,
                        &s.sends.back()),
              "MPI_Isend");
  }
}

std::int64_t RankGroups::heard() {
  State& s = *state_;
  if (s.heard != 0) return s.heard;
  int there = 0;
  MPI_Status status;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kGroupsTag, s.world.impl().comm, &there, &status),
            "MPI_Iprobe");
  if (there != 0) s.receive(status.MPI_SOURCE);
  return s.heard;
}

void RankGroups::meet(const std::function<void()>& meanwhile) {
  state_->wait_for_all(meanwhile);
  state_->take_in_the_rest();
}

}  // namespace polyphase
