// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_tiles_cuda.hpp"

#include "kernels/attention_tiles_run.hpp"

namespace polyphase::attention_tiles {
namespace {

// The Machine of attention_tiles.hpp that is one. What it says is compiled for devices with bf16
// products only; the host never calls it.
struct Device {
  template <class T>
  struct PerLane {
    T value;
    KOKKOS_INLINE_FUNCTION T& operator[](int) { return value; }
    KOKKOS_INLINE_FUNCTION const T& operator[](int) const { return value; }
  };
  template <class T>
  using PerWarp = PerLane<T>;

  template <class Body>
  KOKKOS_INLINE_FUNCTION void threads(const Body& body) const {
    body(thread());
  }
  template <class Body>
  KOKKOS_INLINE_FUNCTION void warps(const Body& body) const {
    body(thread() / 32);
  }
  template <class Body>
  KOKKOS_INLINE_FUNCTION void lanes(const Body& body) const {
    body(thread() % 32);
  }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ static void sync() { __syncthreads(); }
  template <class T>
  __device__ static T shuffle(const PerLane<T>& x, int, int source) {
    return __shfl_sync(0xFFFFFFFFU, x.value, source);
  }
  template <bool kDown, class Address>
  __device__ static void load(PerLane<Registers>& to, const Address& address) {
    const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(address(thread() % 32)));
    std::uint32_t(&r)[4] = to.value.r;
    if constexpr (kDown) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                   : "r"(from)
                   : "memory");
    } else {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                   : "r"(from)
                   : "memory");
    }
  }
  __device__ static void multiply(PerLane<Sums>& sums, const PerLane<Registers>& left,
                                  const PerLane<Registers>& right, int half) {
    float(&d)[4] = sums.value.v;
    const std::uint32_t(&a)[4] = left.value.r;
    const std::uint32_t* const b = right.value.r + 2 * half;
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  KOKKOS_INLINE_FUNCTION static int thread() { return 0; }
  KOKKOS_INLINE_FUNCTION static void sync() {}
  template <class T>
  KOKKOS_INLINE_FUNCTION static T shuffle(const PerLane<T>& x, int, int) {
    return x.value;
  }
  template <bool kDown, class Address>
  KOKKOS_INLINE_FUNCTION static void load(PerLane<Registers>&, const Address&) {}
  KOKKOS_INLINE_FUNCTION static void multiply(PerLane<Sums>&, const PerLane<Registers>&,
                                              const PerLane<Registers>&, int) {}
#endif
};

template <Kernel kKernel, int kWidth, class Pass>
__global__ void __launch_bounds__(kThreads) attention_in_tiles(const Pass pass) {
  extern __shared__ uint4 shared_memory[];
  auto* const shared = reinterpret_cast<bf16*>(shared_memory);
  Device device;
  if constexpr (kKernel == Kernel::kForward) {
    forward_block<kWidth>(device, pass, shared, blockIdx.x, blockIdx.y);
  } else if constexpr (kKernel == Kernel::kQueryGradient) {
    query_block<kWidth>(device, pass, shared, blockIdx.x, blockIdx.y);
  } else {
    key_block<kWidth>(device, pass, shared, blockIdx.x, blockIdx.y);
  }
}

void check(cudaError_t error, const char* call) {
  if (error != cudaSuccess)
    fail<SystemError>("{} failed for attention: {}", call, cudaGetErrorString(error));
}

template <Kernel kKernel, int kWidth, class Pass>
void launch(const Exec& exec, const Pass& pass, std::int64_t num_blocks, std::int64_t num_heads) {
  const std::size_t bytes = shared_bytes<kWidth>(kKernel);
  const auto kernel = attention_in_tiles<kKernel, kWidth, Pass>;
  // More than 48 KiB must be asked for, once: a rank has one device.
  [[maybe_unused]] static const bool asked = [&] {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes)),
          "cudaFuncSetAttribute");
    return true;
  }();
  const dim3 grid(static_cast<unsigned>(num_blocks), static_cast<unsigned>(num_heads));
  kernel<<<grid, kThreads, bytes, exec.space.cuda_stream()>>>(pass);
  check(cudaGetLastError(), "the launch");
}

template <Kernel kKernel, class Pass>
void launch(const Exec& exec, const Pass& pass, std::int64_t num_blocks, std::int64_t num_heads) {
  if (num_blocks * num_heads == 0) return;
  const std::int64_t width = pass.call.head_width;
  if (width <= 32) return launch<kKernel, 32>(exec, pass, num_blocks, num_heads);
  if (width <= 64) return launch<kKernel, 64>(exec, pass, num_blocks, num_heads);
  launch<kKernel, 128>(exec, pass, num_blocks, num_heads);
}

}  // namespace

bool can_run(const AttentionInput<bf16>& input) {
  static const int major = [] {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, device),
          "cudaDeviceGetAttribute");
    return value;
  }();
  return major >= 8 && input.shape.head_width <= kWidestHead;
}

void forward(const Exec& exec, Tensor2<bf16> out_NC, Tensor2<float> log_sum_NH,
             const AttentionInput<bf16>& input, const Dropout& dropout) {
  run_forward(exec, out_NC, log_sum_NH, input, dropout,
              [&](Kernel, const Forward& pass, std::int64_t num_blocks, std::int64_t num_heads) {
                launch<Kernel::kForward>(exec, pass, num_blocks, num_heads);
              });
}

void backward(const Exec& exec, HeadColumns<bf16> dquery, HeadColumns<bf16> dkey,
              HeadColumns<bf16> dvalue, Tensor2<float> dpositions_UH, Write positions_write,
              Tensor2<const bf16> dout_NC, Tensor2<const bf16> out_NC,
              Tensor2<const float> log_sum_NH, const AttentionInput<bf16>& input,
              const Dropout& dropout) {
  run_backward(
      exec, dquery, dkey, dvalue, dpositions_UH, positions_write, dout_NC, out_NC, log_sum_NH,
      input, dropout,
      [&](Kernel kernel, const Backward& pass, std::int64_t num_blocks, std::int64_t num_heads) {
        if (kernel == Kernel::kQueryGradient) {
          launch<Kernel::kQueryGradient>(exec, pass, num_blocks, num_heads);
        } else {
          launch<Kernel::kKeyGradient>(exec, pass, num_blocks, num_heads);
        }
      });
}

}  // namespace polyphase::attention_tiles
