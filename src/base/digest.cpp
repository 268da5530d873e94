// SPDX-License-Identifier: Apache-2.0
#include "base/digest.hpp"

#include <xxhash.h>

#include "base/error.hpp"

namespace polyphase {
namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  std::string text;
  for (const unsigned char byte : canonical.digest) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

std::string digest(const void* data, std::size_t num_bytes) {
  return hexadecimal(XXH3_128bits(data, num_bytes));
}

std::string digest(const std::string& text) { return digest(text.data(), text.size()); }

struct StreamingDigest::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

StreamingDigest::StreamingDigest() : state_(std::make_unique<State>()) {
  POLYPHASE_PROMISE(state_->xxh != nullptr && XXH3_128bits_reset(state_->xxh) == XXH_OK,
                    "no memory for an XXH3 state");
}

StreamingDigest::~StreamingDigest() = default;

void StreamingDigest::update(const void* data, std::size_t num_bytes) {
  XXH3_128bits_update(state_->xxh, data, num_bytes);
}

std::string StreamingDigest::value() const { return hexadecimal(XXH3_128bits_digest(state_->xxh)); }

}  // namespace polyphase
