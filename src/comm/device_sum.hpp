// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange_parts.hpp"
#include "comm/tree_stages.hpp"
#include "kernels/exec.hpp"

// What ranks do with tensors in the memory of the execution space. On the host MPI carries it; on
// CUDA devices NCCL does, on a stream of its own beside the kernels, or where there is no NCCL a
// copy on the host (two files stand behind this header). All come behind the kernels that `exec`
// has started before, and are collective over the ranks.
namespace polyphase {

// A sum over ranks, in place and in the order of the fixed tree (tree_stages.hpp), that goes on
// while the caller computes. All ranks construct theirs in the same order; on devices a group's
// first waits for all of its ranks.
class DeviceSum {
 public:
  DeviceSum(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
            int only_on = kEveryRank);
  ~DeviceSum();
  DeviceSum(DeviceSum&&) noexcept;
  DeviceSum& operator=(DeviceSum&&) noexcept;

  void poll();  // now and then: goes on without waiting
  void wait();  // what `exec` starts afterwards sees the sum

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same, and waits.
inline void sum_over_ranks(const Exec& exec, const Communicator& ranks, Tensor1<float> data) {
  if (ranks.size() > 1) DeviceSum(exec, ranks, data).wait();
}

// An exchange of parts (exchange_parts.hpp) in place that goes on while the caller computes, from
// the front of the array to its end. All ranks construct theirs in the same order; on devices a
// group's first waits for all of its ranks. What others send must not be touched, nor what this
// rank sends be changed, until it is done. (On devices all of it comes in front of sums that begin
// later, of whatever ranks: they share a stream.)
class PartsExchange {
 public:
  PartsExchange(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
                const std::vector<std::vector<ArrayPart>>& parts);
  ~PartsExchange();  // waits

  // What `exec` starts afterwards sees all elements in front of `end`.
  void wait_for(std::int64_t end);
  bool done() const { return next_ == pieces_.size(); }

 private:
  struct State;
  std::vector<OwnedPart> pieces_;  // of `state_`, whose first ones have arrived
  std::size_t next_ = 0;
  std::unique_ptr<State> state_;
};

// exchange_parts.hpp of tensors: gives every rank the parts that each of the others has …
template <class Real>
void exchange_parts(const Exec& exec, const Communicator& ranks, Tensor1<Real> data,
                    const std::vector<std::vector<ArrayPart>>& parts);
// … or the sum over all ranks of its own part.
void sum_parts(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
               const std::vector<ArrayPart>& parts);

}  // namespace polyphase
