// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>
#include <nccl.h>

#include <bit>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "comm/device_sum.hpp"
#include "comm/mpi_check.hpp"
#include "kernels/elementwise.hpp"

// Tensors lie in a CUDA device's memory: NCCL carries the same stages as MPI does on the host, and
// a kernel adds, so sums have the same order. Only the first sum of a group, and one larger than
// any before it, wait for the device.
namespace polyphase {
namespace {

void check_cuda(cudaError_t code, const char* call) {
  if (code != cudaSuccess) fail<SystemError>("{} failed: {}", call, cudaGetErrorString(code));
}

class Event {
 public:
  explicit Event(cudaStream_t behind) {
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
    check_cuda(cudaEventRecord(event_, behind), "cudaEventRecord");
  }
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  cudaEvent_t get() const { return event_; }
  void hold_back(cudaStream_t stream) const {
    check_cuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// All groups of ranks share it: in one stream what two groups do comes in the same order on every
// rank, and so cannot wait for each other crosswise.
cudaStream_t communication_stream() {
  static const cudaStream_t stream = [] {
    int least = 0, greatest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriority");
    cudaStream_t made = nullptr;
    check_cuda(cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, greatest),
               "cudaStreamCreate");
    return made;
  }();
  return stream;
}

template <class Real>
constexpr ncclDataType_t kNumber = sizeof(Real) == sizeof(float) ? ncclFloat : ncclBfloat16;

// A group of ranks as NCCL knows it.
class DeviceRanks {
 public:
  explicit DeviceRanks(const Communicator& ranks) : impl_(ranks.impl()) {
    ncclUniqueId id = {};
    std::string text;
    if (ranks.rank() == 0) {
      check(ncclGetUniqueId(&id), "ncclGetUniqueId");
      text.assign(id.internal, sizeof id.internal);
    }
    text = ranks.broadcast(text);
    std::memcpy(id.internal, text.data(), sizeof id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // so that a rank that does not come is the watchdog's to notice
    const ncclResult_t begun =
        ncclCommInitRankConfig(&comm_, ranks.size(), id, ranks.rank(), &config);
    finish(begun, "ncclCommInitRankConfig");
  }
  // What is under way when something has failed may wait for a rank that is gone.
  ~DeviceRanks() {
    if (comm_ == nullptr) return;
    ncclResult_t state =
        std::uncaught_exceptions() > 0 ? ncclInternalError : ncclCommFinalize(comm_);
    while (state == ncclInProgress && ncclCommGetAsyncError(comm_, &state) == ncclSuccess) {
    }
    if (state == ncclSuccess) {
      ncclCommDestroy(comm_);
    } else {
      ncclCommAbort(comm_);
    }
  }
  DeviceRanks(const DeviceRanks&) = delete;
  DeviceRanks& operator=(const DeviceRanks&) = delete;

  // Where kernels run behind what is received. (Kokkos waits for the device when it makes one.)
  const Exec& beside() const { return beside_; }

  Tensor1<float> room_for(std::int64_t count) {
    if (static_cast<std::int64_t>(received_.extent(0)) < count) {
      received_ = {};
      received_ = Kokkos::View<float*, Memory>(
          Kokkos::view_alloc(Kokkos::WithoutInitializing, "received"), count);
    }
    return Tensor1<float>(received_.data(), count);
  }

  // Sends and receives that go on together.
  template <class Work>
  void together(const Work& work) {
    check(ncclGroupStart(), "ncclGroupStart");
    work();
    finish(ncclGroupEnd(), "ncclGroupEnd");
  }
  template <class Real>
  void send(const Real* data, std::int64_t count, int to) {
    if (count == 0) return;
    started(ncclSend(data, static_cast<std::size_t>(count), kNumber<Real>, to, comm_,
                     communication_stream()),
            "ncclSend");
  }
  template <class Real>
  void receive(Real* data, std::int64_t count, int from) {
    if (count == 0) return;
    started(ncclRecv(data, static_cast<std::size_t>(count), kNumber<Real>, from, comm_,
                     communication_stream()),
            "ncclRecv");
  }

  void broadcast(float* data, std::int64_t count, int from) {
    started(ncclBroadcast(data, data, static_cast<std::size_t>(count), ncclFloat, from, comm_,
                          communication_stream()),
            "ncclBroadcast");
  }

  void check_for_errors() {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    started(state, "a transfer between devices");
  }

 private:
  void started(ncclResult_t result, const char* call) {
    if (result != ncclInProgress) check(result, call);
  }

  // Until the host's part of it is done; the device's goes on.
  void finish(ncclResult_t result, const char* call) {
    const WaitsForRanks waits(impl_);
    started(result, call);
    ncclResult_t state = ncclInProgress;
    do {
      check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    } while (state == ncclInProgress);
    check(state, call);
  }

  void check(ncclResult_t result, const char* call) {
    if (result == ncclSuccess) return;
    const char* why = comm_ != nullptr ? ncclGetLastError(comm_) : "";
    const std::string message = fmt::format("{} failed: {} {}; NCCL_DEBUG=INFO tells more", call,
                                            ncclGetErrorString(result), why);
    // Destroying it would wait for the others.
    if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
    fail<SystemError>("{}", message);
  }

  Communicator::Impl& impl_;
  ncclComm_t comm_ = nullptr;
  Exec beside_ = {.space = Kokkos::Cuda(communication_stream())};
  Kokkos::View<float*, Memory> received_;  // one is enough: sums of a group follow each other
};

// Made when a group first needs it, which is at the same time on all its ranks.
DeviceRanks& device_ranks(const Communicator& ranks) {
  std::shared_ptr<void>& kept = ranks.impl().device;
  if (kept == nullptr) kept = std::make_shared<DeviceRanks>(ranks);
  return *static_cast<DeviceRanks*>(kept.get());
}

}  // namespace

struct DeviceSum::State {
  DeviceRanks* ranks = nullptr;  // none: nothing to do
  cudaStream_t stream = nullptr;
  std::vector<Event> done;
};

DeviceSum::DeviceSum(const Exec& exec, const Communicator& ranks, Tensor1<float> data, int only_on)
    : state_(std::make_unique<State>()) {
  const std::vector<TreeStage> stages = stages_of_tree_sum(
      ranks.rank(), ranks.size(), static_cast<std::int64_t>(data.extent(0)), only_on);
  if (stages.empty()) return;
  DeviceRanks& device = device_ranks(ranks);
  state_->ranks = &device;
  state_->stream = exec.space.cuda_stream();
  Event(state_->stream).hold_back(communication_stream());
  const Tensor1<float> received = device.room_for(most_added(stages));
  for (const TreeStage& stage : stages) {
    float* const in_place = data.data() + stage.receive.begin;
    device.together([&] {
      device.send(data.data() + stage.send.begin, stage.send.size(), stage.partner);
      device.receive(stage.adds ? received.data() : in_place, stage.receive.size(), stage.partner);
    });
    if (!stage.adds) continue;
    add(device.beside(), Tensor1<float>(in_place, stage.receive.size()),
        Tensor1<const float>(received.data(), stage.receive.size()));
  }
  state_->done.emplace_back(communication_stream());
}
DeviceSum::~DeviceSum() = default;
DeviceSum::DeviceSum(DeviceSum&&) noexcept = default;
DeviceSum& DeviceSum::operator=(DeviceSum&&) noexcept = default;

void DeviceSum::poll() {}  // the device goes on by itself

void DeviceSum::wait() {
  if (state_->ranks == nullptr) return;
  state_->ranks->check_for_errors();
  state_->done.front().hold_back(state_->stream);
}

struct PartsExchange::State {
  DeviceRanks& ranks;
  cudaStream_t stream = nullptr;
  std::vector<Event> arrived;  // by piece
};

PartsExchange::PartsExchange(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
                             const std::vector<std::vector<ArrayPart>>& parts) {
  if (ranks.size() == 1) return;
  pieces_ = pieces_from_front(parts);
  state_ = std::make_unique<State>(
      State{.ranks = device_ranks(ranks), .stream = exec.space.cuda_stream(), .arrived = {}});
  Event(state_->stream).hold_back(communication_stream());
  for (const OwnedPart& piece : pieces_) {
    state_->ranks.together([&] {
      state_->ranks.broadcast(data.data() + piece.part.begin, piece.part.size(), piece.owner);
    });
    state_->arrived.emplace_back(communication_stream());
  }
}
PartsExchange::~PartsExchange() {
  if (!done()) (void)cudaStreamWaitEvent(state_->stream, state_->arrived.back().get(), 0);
}

void PartsExchange::wait_for(std::int64_t end) {
  if (done() || pieces_[next_].part.begin >= end) return;
  state_->ranks.check_for_errors();
  // In one stream what comes later is done later.
  while (!done() && pieces_[next_].part.begin < end) ++next_;
  state_->arrived[next_ - 1].hold_back(state_->stream);
}

template <class Real>
void exchange_parts(const Exec& exec, const Communicator& ranks, Tensor1<Real> data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  const int size = ranks.size();
  if (size == 1) return;
  DeviceRanks& device = device_ranks(ranks);
  Event(exec.space.cuda_stream()).hold_back(communication_stream());
  const auto back = [&](int distance) { return (ranks.rank() - distance + size) % size; };
  for (int turn = 0; turn + 1 < size; ++turn) {
    device.together([&] {
      for (const ArrayPart& part : parts[static_cast<std::size_t>(back(turn))])
        device.send(data.data() + part.begin, part.size(), back(size - 1));
      for (const ArrayPart& part : parts[static_cast<std::size_t>(back(turn + 1))])
        device.receive(data.data() + part.begin, part.size(), back(1));
    });
  }
  device.check_for_errors();
  Event(communication_stream()).hold_back(exec.space.cuda_stream());
}

template void exchange_parts(const Exec&, const Communicator&, Tensor1<float>,
                             const std::vector<std::vector<ArrayPart>>&);
template void exchange_parts(const Exec&, const Communicator&, Tensor1<bf16>,
                             const std::vector<std::vector<ArrayPart>>&);

void sum_parts(const Exec& exec, const Communicator& ranks, Tensor1<float> data,
               const std::vector<ArrayPart>& parts) {
  const int size = ranks.size();
  if (size == 1) return;
  if (!std::has_single_bit(static_cast<unsigned>(size)))
    return sum_over_ranks(exec, ranks, Tensor1<float>(data.data(), parts.back().end));
  DeviceRanks& device = device_ranks(ranks);
  Event(exec.space.cuda_stream()).hold_back(communication_stream());
  for (int stage = 0; (1 << stage) < size; ++stage) {
    const int partner = ranks.rank() ^ (1 << stage);
    const std::vector<ArrayPart> mine = parts_of_alike(parts, ranks.rank(), stage + 1);
    std::int64_t count = 0;
    for (const ArrayPart& part : mine) count += part.size();
    const Tensor1<float> received = device.room_for(count);  // the first stage's is the largest
    device.together([&] {
      for (const ArrayPart& part : parts_of_alike(parts, partner, stage + 1))
        device.send(data.data() + part.begin, part.size(), partner);
      float* next = received.data();
      for (const ArrayPart& part : mine) {
        device.receive(next, part.size(), partner);
        next += part.size();
      }
    });
    const float* next = received.data();
    for (const ArrayPart& part : mine) {
      add(device.beside(), Tensor1<float>(data.data() + part.begin, part.size()),
          Tensor1<const float>(next, part.size()));
      next += part.size();
    }
  }
  device.check_for_errors();
  Event(communication_stream()).hold_back(exec.space.cuda_stream());
}

}  // namespace polyphase
