// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <utility>

#include "kernels/exec.hpp"

namespace polyphase {

// The arithmetic and the memory traffic of passes that were counted (exec.hpp): what their time is
// planned from. Kernels note what they would have done.
struct Work {
  // op(a) · op(b) of m×k and k×n: 2·m·n·k floating-point operations.
  struct Product {
    std::int64_t m = 0, n = 0, k = 0;
    bool bf16 = false;
    double flops() const {
      return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    }
    auto operator<=>(const Product&) const = default;
  };
  std::map<Product, std::int64_t> products;  // with the number of calls
  // Of attention's products, over the pairs of query and key that see one another.
  double attention_flops = 0;
  // The same if every query saw every key of its sequence: what published rates count.
  double whole_attention_flops = 0;
  // Read and written by all other kernels: each tensor once for each time that it is passed over.
  double moved_bytes = 0;
  // That are started, products among them. What a device's product does beside it where that has to
  // be a kernel of its own, the rounding of a bias or the addition of one's gradient, is not here.
  std::int64_t num_kernels = 0;
  // Arrays of so many floats that are added up with others' of the same place.
  std::map<std::int64_t, std::int64_t> shared_sums;

  double passed_on = 0;  // floats that another stage of a pipeline gets

  double product_flops() const {
    double flops = 0;
    for (const auto& [product, calls] : products)
      flops += static_cast<double>(calls) * product.flops();
    return flops;
  }
};

// While one lives, kernels on this thread that count note their work in it. One at a time.
class WorkCount {
 public:
  WorkCount() : outer_(current_) { current_ = &work_; }
  ~WorkCount() { current_ = outer_; }
  WorkCount(const WorkCount&) = delete;
  WorkCount& operator=(const WorkCount&) = delete;

  const Work& work() const { return work_; }
  // Where a kernel notes; null when nobody asks, which costs a comparison.
  static Work* of(const Exec& exec) {
    return current_ != nullptr && exec.counting() ? current_ : nullptr;
  }

 private:
  friend class NotedAlready;
  inline static thread_local Work* current_ = nullptr;
  Work work_;
  Work* outer_;
};

// Until the end of the block nothing is noted: by a product, which is noted as it was asked for, of
// the products and copies that it may be made of on this processor.
class NotedAlready {
 public:
  NotedAlready() : work_(std::exchange(WorkCount::current_, nullptr)) {}
  ~NotedAlready() { WorkCount::current_ = work_; }
  NotedAlready(const NotedAlready&) = delete;
  NotedAlready& operator=(const NotedAlready&) = delete;

 private:
  Work* work_;
};

// Notes that a kernel is started. Who launches kernels does that (for_rows.hpp).
inline void note_start(const Exec& exec) {
  if (Work* const work = WorkCount::of(exec)) ++work->num_kernels;
}

// Notes that a kernel reads or writes each of these tensors once.
template <class... Tensors>
void note_moved(const Exec& exec, const Tensors&... tensors) {
  Work* const work = WorkCount::of(exec);
  if (work == nullptr) return;
  work->moved_bytes +=
      (0.0 + ... +
       static_cast<double>(tensors.size() * sizeof(typename Tensors::non_const_value_type)));
}

inline void note_product(const Exec& exec, const Work::Product& product) {
  Work* const work = WorkCount::of(exec);
  if (work == nullptr) return;
  ++work->num_kernels;
  ++work->products[product];
}

}  // namespace polyphase
