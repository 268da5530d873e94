// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/error.hpp"
#include "kernels/tensor.hpp"

namespace polyphase {

// A stack of device memory for activations and workspaces: one allocation, tensors taken from the
// front and given back in reverse order. It is the memory planner too: with a null base
// ("counting") take() hands out empty addresses, kernels do nothing, and peak_bytes() is what a
// real pass of the same shapes needs.
//
// It may lie in two pieces, of which several arenas have the second in common: what one that is not
// at work holds lies in its first piece. A tensor that the first has no room for begins the second.
//
// Its end can serve for something else while a pass no longer reaches so far: limit() says from
// where on.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;

  Arena() = default;  // counting
  Arena(void* base, std::size_t capacity_bytes)
      : base_(static_cast<std::byte*>(base)),
        capacity_bytes_(capacity_bytes),
        limit_bytes_(capacity_bytes) {}
  Arena(void* base, std::size_t num_bytes, void* second, std::size_t second_bytes)
      : Arena(base, num_bytes + second_bytes) {
    second_ = static_cast<std::byte*>(second);
    first_bytes_ = num_bytes;
  }

  bool counting() const { return base_ == nullptr; }
  std::byte* data() const { return base_; }
  std::size_t used_bytes() const { return used_bytes_; }
  std::size_t peak_bytes() const { return peak_bytes_; }
  // The largest piece that was taken in one.
  std::size_t largest_taken_bytes() const { return largest_taken_bytes_; }
  // The most in use since the last call of this, which begins a new count.
  std::size_t take_high_water() {
    const std::size_t most = high_water_bytes_;
    high_water_bytes_ = used_bytes_;
    return most;
  }

  // From now on writes what is in use to the list whenever that changes; nullptr: no more.
  void trace(std::vector<std::size_t>* used_bytes) { trace_ = used_bytes; }

  // Uninitialised memory for `count` elements, aligned to 64 bytes.
  template <class T>
  Tensor1<T> take1(std::int64_t count) {
    return Tensor1<T>(static_cast<T*>(take_bytes(count * sizeof(T))), count);
  }
  template <class T>
  Tensor2<T> take2(std::int64_t num_rows, std::int64_t num_columns) {
    return Tensor2<T>(static_cast<T*>(take_bytes(num_rows * num_columns * sizeof(T))), num_rows,
                      num_columns);
  }

  // Gives back everything taken since used_bytes() was `mark`.
  void release(std::size_t mark) {
    used_bytes_ = mark;
    if (trace_ != nullptr) trace_->push_back(used_bytes_);
  }

  // Nothing is handed out from this byte on until lift_limit().
  void limit(std::size_t num_bytes) {
    limit_bytes_ = std::min(limit_bytes_, num_bytes);
    check_limit();
  }
  void lift_limit() { limit_bytes_ = capacity_bytes_; }

 private:
  void* take_bytes(std::size_t num_bytes) {
    const std::size_t taken = (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
    const bool in_first = used_bytes_ + taken <= first_bytes_;
    const std::size_t begin = in_first ? used_bytes_ : std::max(used_bytes_, first_bytes_);
    used_bytes_ = begin + taken;
    largest_taken_bytes_ = std::max(largest_taken_bytes_, taken);
    if (trace_ != nullptr) trace_->push_back(used_bytes_);
    peak_bytes_ = std::max(peak_bytes_, used_bytes_);
    high_water_bytes_ = std::max(high_water_bytes_, used_bytes_);
    if (counting()) return nullptr;
    check_limit();
    return in_first || second_ == nullptr ? base_ + begin : second_ + (begin - first_bytes_);
  }
  void check_limit() const {
    POLYPHASE_PROMISE(used_bytes_ <= limit_bytes_,
                      "{} bytes of an arena of {} are in use where {} were planned", used_bytes_,
                      capacity_bytes_, limit_bytes_);
  }

  std::byte *base_ = nullptr, *second_ = nullptr;
  std::size_t largest_taken_bytes_ = 0;
  std::size_t first_bytes_ = 0;  // where the second piece begins, if there is one
  std::vector<std::size_t>* trace_ = nullptr;
  std::size_t capacity_bytes_ = 0;
  std::size_t limit_bytes_ = 0;
  std::size_t used_bytes_ = 0;
  std::size_t peak_bytes_ = 0;
  std::size_t high_water_bytes_ = 0;
};

// Gives back at the end of a block what was taken in it.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.used_bytes()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  std::size_t mark_;
};

// Whether a kernel replaces its output or adds to it.
enum class Write { kOverwrite, kAccumulate };

// Where and how a kernel runs. Kernels take their own temporary memory from the arena and give it
// back before they return. When the arena is counting, every kernel takes its memory, does no
// arithmetic, and returns.
struct Exec {
  Space space;
  Arena* arena = nullptr;

  bool counting() const { return arena != nullptr && arena->counting(); }
};

// Names the kernel that runs until the end of the block to whatever profiling tool Kokkos has
// loaded (its own tools, or scripts/bench, which sums up time by kernel). Costs a comparison when
// there is none.
class KernelRegion {
 public:
  explicit KernelRegion(const char* name) : watched_(Kokkos::Tools::profileLibraryLoaded()) {
    if (watched_) Kokkos::Profiling::pushRegion(name);
  }
  ~KernelRegion() {
    if (watched_) Kokkos::Profiling::popRegion();
  }
  KernelRegion(const KernelRegion&) = delete;
  KernelRegion& operator=(const KernelRegion&) = delete;

 private:
  bool watched_;
};

}  // namespace polyphase
