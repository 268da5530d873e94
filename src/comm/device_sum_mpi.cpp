// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>

#include <cstdint>
#include <type_traits>

#include "comm/device_sum.hpp"
#include "comm/mpi_check.hpp"
#include "comm/tree_sum.hpp"

// MPI carries what lies in the host's memory. Where that is not where tensors lie, and there is no
// NCCL, they are copied there and back.
namespace polyphase {
namespace {

// A tensor where MPI reaches it: on the host itself, else a copy.
template <class Real>
class OnHost {
 public:
  explicit OnHost(Tensor1<Real> tensor)
      : tensor_(tensor), host_(Kokkos::create_mirror_view(tensor)) {
    Kokkos::deep_copy(host_, tensor_);
  }
  Real* data() const { return host_.data(); }
  void give_back() const { Kokkos::deep_copy(tensor_, host_); }

 private:
  Tensor1<Real> tensor_;
  typename Tensor1<Real>::HostMirror host_;
};

}  // namespace

struct DeviceSum::State {
  OnHost<float> values;
  TreeSum sum;
};

DeviceSum::DeviceSum(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
                     int only_on) {
  exec.space.fence();
  const OnHost<float> values(data);
  state_ = std::make_unique<State>(State{
      values, TreeSum(ranks, values.data(), static_cast<std::int64_t>(data.extent(0)), only_on)});
}
DeviceSum::~DeviceSum() = default;
DeviceSum::DeviceSum(DeviceSum&&) noexcept = default;
DeviceSum& DeviceSum::operator=(DeviceSum&&) noexcept = default;

void DeviceSum::poll() { state_->sum.poll(); }
void DeviceSum::wait() {
  state_->sum.wait();
  state_->values.give_back();
}

// A broadcast of each piece; on a device's memory the whole exchange at once, as there is nothing
// to send from while kernels go on.
struct PartsExchange::State {
  Communicator::Impl& impl;
  std::vector<MPI_Request> requests;  // by piece
};

PartsExchange::PartsExchange(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
                             const std::vector<std::vector<ArrayPart>>& parts) {
  if (ranks.size() == 1) return;
  if (!Kokkos::SpaceAccessibility<Kokkos::HostSpace, Memory>::accessible) {
    exchange_parts(exec, ranks, data, parts);
    return;
  }
  exec.space.fence();
  pieces_ = pieces_from_front(parts);
  state_ = std::make_unique<State>(State{.impl = ranks.impl(), .requests = {}});
  for (const OwnedPart& piece : pieces_) {
    check_mpi(MPI_Ibcast(data.data() + piece.part.begin, static_cast<int>(piece.part.size()),
                         MPI_FLOAT, piece.owner, state_->impl.comm,
                         &state_->requests.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Ibcast");
  }
}

// MPI would go on writing to memory that is no more. All ranks have begun the exchange, or are
// about to, or the job ends.
PartsExchange::~PartsExchange() {
  if (done()) return;
  const WaitsForRanks waits(state_->impl);
  (void)MPI_Waitall(static_cast<int>(state_->requests.size()), state_->requests.data(),
                    MPI_STATUSES_IGNORE);
}

void PartsExchange::wait_for(std::int64_t end) {
  while (!done() && pieces_[next_].part.begin < end) {
    const WaitsForRanks waits(state_->impl);
    check_mpi(MPI_Wait(&state_->requests[next_], MPI_STATUS_IGNORE), "MPI_Wait");
    ++next_;
  }
  if (done()) return;
  int arrived = 0;  // MPI gets on with all of them when it is called
  check_mpi(MPI_Test(&state_->requests[next_], &arrived, MPI_STATUS_IGNORE), "MPI_Test");
  if (arrived != 0) ++next_;
}

template <class Real>
void exchange_parts(const Exec& exec, const Communicator& ranks, Tensor1<Real> data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  if (ranks.size() == 1) return;
  using Number = std::conditional_t<sizeof(Real) == sizeof(float), float, std::uint16_t>;
  exec.space.fence();
  const OnHost<Real> values(data);
  exchange_parts(ranks, reinterpret_cast<Number*>(values.data()), parts);
  values.give_back();
}

template void exchange_parts(const Exec&, const Communicator&, Tensor1<float>,
                             const std::vector<std::vector<ArrayPart>>&);
template void exchange_parts(const Exec&, const Communicator&, Tensor1<bf16>,
                             const std::vector<std::vector<ArrayPart>>&);

void sum_parts(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
               const std::vector<ArrayPart>& parts) {
  if (ranks.size() == 1) return;
  exec.space.fence();
  const OnHost<float> values(data);
  sum_parts(ranks, values.data(), parts);
  values.give_back();
}

}  // namespace polyphase
