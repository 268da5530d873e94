// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <vector>

#include "kernels/elementwise.hpp"

namespace polyphase::test {

// A tensor's elements as the host has them, and the other way: tests, too, reach a tensor by copies
// alone, since they run on devices.
template <class T>
std::vector<std::remove_const_t<T>> read_tensor(const Tensor1<T>& x) {
  std::vector<std::remove_const_t<T>> values(x.extent(0));
  copy_to_host<std::remove_const_t<T>>(Exec{}, values.data(), x);
  return values;
}

template <class T>
void write_tensor(const Tensor1<T>& x, const std::vector<T>& values) {
  POLYPHASE_PROMISE(values.size() == x.extent(0), "{} values for a tensor of {}", values.size(),
                    x.extent(0));
  copy_to_device<T>(Exec{}, x, values.data());
}

}  // namespace polyphase::test
