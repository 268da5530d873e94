// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "comm/device_sum.hpp"
#include "comm/tree_sum.hpp"

// Tensors lie where MPI reaches them.
namespace polyphase {

struct DeviceSum::State {
  TreeSum sum;
};

DeviceSum::DeviceSum(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
                     int only_on) {
  exec.space.fence();
  state_ = std::make_unique<State>(
      State{TreeSum(ranks, data.data(), static_cast<std::int64_t>(data.extent(0)), only_on)});
}
DeviceSum::~DeviceSum() = default;
DeviceSum::DeviceSum(DeviceSum&&) noexcept = default;
DeviceSum& DeviceSum::operator=(DeviceSum&&) noexcept = default;

void DeviceSum::poll() { state_->sum.poll(); }
void DeviceSum::wait() { state_->sum.wait(); }

void sum_over_ranks(const Exec& exec, const Communicator& ranks, Tensor1<float> data) {
  DeviceSum(exec, ranks, data).wait();
}

template <class Real>
void exchange_parts(const Exec& exec, const Communicator& ranks, Tensor1<Real> data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  using Number = std::conditional_t<sizeof(Real) == sizeof(float), float, std::uint16_t>;
  exec.space.fence();
  exchange_parts(ranks, reinterpret_cast<Number*>(data.data()), parts);
}

template void exchange_parts(const Exec&, const Communicator&, Tensor1<float>,
                             const std::vector<std::vector<ArrayPart>>&);
template void exchange_parts(const Exec&, const Communicator&, Tensor1<bf16>,
                             const std::vector<std::vector<ArrayPart>>&);

void sum_parts(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
               const std::vector<ArrayPart>& parts) {
  exec.space.fence();
  sum_parts(ranks, data.data(), parts);
}

}  // namespace polyphase
