// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "comm/communicator.hpp"

// Private to src/comm: what MPI looks like behind the interface.
namespace polyphase {

struct Communicator::Impl {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  bool owned = false;  // made by a split, so freed here
  int next_tag = 0;    // of TreeSum: every rank starts them in the same order
  double wait_seconds = 0;
  std::shared_ptr<void> device;  // what device_sum_nccl.cpp keeps of the group
};

// MPI counts are int: longer arrays go in pieces, or blocks.
inline constexpr std::int64_t kMaxCount = std::int64_t{1} << 30;

// Tags of TreeSum repeat after this many sums; far fewer are ever under way at once. Exchanges of
// parts have the one above them: a rank may begin one while its neighbour still sums.
inline constexpr int kNumTreeSumTags = 1 << 14;
inline constexpr int kExchangeTag = kNumTreeSumTags;
inline constexpr int kGroupsTag = kExchangeTag + 1;    // of RankGroups, in the world
inline constexpr int kFirstStageTag = kGroupsTag + 1;  // of StageLinks, by subject

// Ranks of the same colour become a group, in the order of their keys. Collective over the parent.
Communicator split(const Communicator::Impl& parent, int colour, int key);

// Stands around a call that waits for other ranks, so that job.hpp can tell, and the group how
// long. One that stands inside of another's call adds no time.
struct WaitsForRanks {
  inline static std::atomic<int> depth = 0;
  inline static std::atomic<std::int64_t> num_done = 0;
  explicit WaitsForRanks(Communicator::Impl& of) : group_(of) {
    if (depth++ == 0) begin_seconds_ = now_seconds();
  }
  ~WaitsForRanks() {
    if (--depth == 0 && group_.size > 1) group_.wait_seconds += now_seconds() - begin_seconds_;
    ++num_done;
  }
  WaitsForRanks(const WaitsForRanks&) = delete;
  WaitsForRanks& operator=(const WaitsForRanks&) = delete;

 private:
  Communicator::Impl& group_;
  double begin_seconds_ = 0;
};

inline void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail<SystemError>("{} failed: {}; look at the messages of the MPI library above", call,
                    std::string(text, static_cast<std::size_t>(length)));
}

}  // namespace polyphase
