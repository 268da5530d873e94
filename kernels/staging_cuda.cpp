// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/staging.hpp"

namespace polyphase {
namespace {

void check(cudaError_t error, const char* call) {
  if (error != cudaSuccess)
    fail<SystemError>("{} failed for a copy to the device: {}", call, cudaGetErrorString(error));
}

// Two pinned buffers in turn: one is filled while the device still reads from the other.
class Staging {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

  explicit Staging(cudaStream_t stream) : stream_(stream) {
    for (int i = 0; i < 2; ++i) {
      check(cudaMallocHost(&buffers_[i], kBufferBytes), "cudaMallocHost");
      check(cudaEventCreateWithFlags(&read_[i], cudaEventDisableTiming), "cudaEventCreate");
    }
  }

  // Events are of the stream that the first copy went to.
  bool takes(cudaStream_t stream, std::size_t num_bytes) const {
    return stream == stream_ && num_bytes <= kBufferBytes;
  }

  void copy(void* to, const void* from, std::size_t num_bytes) {
    if (used_bytes_ + num_bytes > kBufferBytes) {
      check(cudaEventRecord(read_[current_], stream_), "cudaEventRecord");
      current_ = 1 - current_;
      used_bytes_ = 0;
      // An event that was never recorded is over.
      check(cudaEventSynchronize(read_[current_]), "cudaEventSynchronize");
    }
    std::byte* const staged = static_cast<std::byte*>(buffers_[current_]) + used_bytes_;
    std::memcpy(staged, from, num_bytes);
    check(cudaMemcpyAsync(to, staged, num_bytes, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
    used_bytes_ += (num_bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  }

 private:
  cudaStream_t stream_;
  void* buffers_[2] = {};
  cudaEvent_t read_[2] = {};
  int current_ = 0;
  std::size_t used_bytes_ = 0;
};

}  // namespace

bool stage_to_device(const Exec& exec, void* to, const void* from, std::size_t num_bytes) {
  const cudaStream_t stream = exec.space.cuda_stream();
  // Never given back: the process may end after the device's library has.
  thread_local Staging* const staging = new Staging(stream);
  if (!staging->takes(stream, num_bytes)) return false;
  staging->copy(to, from, num_bytes);
  return true;
}

}  // namespace polyphase
