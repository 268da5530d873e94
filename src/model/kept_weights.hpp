// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>

#include "kernels/exec.hpp"

namespace polyphase {

// Weights as a generation's products read them, where those are not the parameters themselves:
// rounded, with their low-rank additions. Made by the first pass and kept for the others, which
// would otherwise spend more time on making them than on multiplying. The parameters stay as they
// are meanwhile.
class KeptWeights {
 public:
  // What is kept may be of other values of the parameters: the memory stays, to be written anew.
  void forget();
  // Bytes of all weights that passes asked for, also of such that were only counted.
  std::size_t num_bytes() const;
  // The weight of that parameter, of so many rows and columns, which `make` writes the first time.
  // A null address where passes are only counted: the memory is not the arena's.
  template <class Real>
  using Make = std::function<void(Tensor2<Real> weight)>;
  template <class Real>
  Tensor2<const Real> get(const Exec& exec, std::size_t number, std::int64_t num_rows,
                          std::int64_t num_columns, const Make<Real>& make);

 private:
  struct Weight {
    Kokkos::View<std::byte*, Memory> memory;
    std::size_t num_bytes = 0;
    bool made = false;
  };
  std::map<std::size_t, Weight> all_;  // by the parameter's number
};

}  // namespace polyphase
