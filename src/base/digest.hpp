// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace polyphase {

// XXH3-128 of `num_bytes` bytes, as 32 lower-case hexadecimal digits in the canonical (big-endian)
// order.
std::string digest(const void* data, std::size_t num_bytes);
std::string digest(const std::string& text);

// XXH3-128 of bytes that arrive in pieces.
class StreamingDigest {
 public:
  StreamingDigest();
  ~StreamingDigest();
  void update(const void* data, std::size_t num_bytes);
  std::string value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
