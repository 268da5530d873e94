// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <type_traits>

#include "comm/device_sum.hpp"
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
