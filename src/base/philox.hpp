// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>

// A function of the device too, where a device compiler reads it.
#ifdef __CUDACC__
#define POLYPHASE_DEVICE_FUNCTION __host__ __device__ inline
#else
#define POLYPHASE_DEVICE_FUNCTION inline
#endif

namespace polyphase {

// Four random words for a 128-bit counter under a 64-bit key.
struct PhiloxWords {
  std::uint32_t word[4];
};

// Philox4x32-10 (Salmon et al., 2011): a random function, not a random state.
POLYPHASE_DEVICE_FUNCTION PhiloxWords philox(std::uint64_t key, std::uint64_t counter_low,
                                             std::uint64_t counter_high) {
  std::uint32_t x0 = static_cast<std::uint32_t>(counter_low);
  std::uint32_t x1 = static_cast<std::uint32_t>(counter_low >> 32);
  std::uint32_t x2 = static_cast<std::uint32_t>(counter_high);
  std::uint32_t x3 = static_cast<std::uint32_t>(counter_high >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * x2;
    x0 = static_cast<std::uint32_t>(p1 >> 32) ^ x1 ^ k0;
    x1 = static_cast<std::uint32_t>(p1);
    x2 = static_cast<std::uint32_t>(p0 >> 32) ^ x3 ^ k1;
    x3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{x0, x1, x2, x3}};
}

// What a key is for: on disk in the sense that a resumed run must draw the same numbers; never
// renumber.
enum class Purpose : std::uint64_t {
  kInitialise = 1,
  kDropout = 2,
  kMask = 3,
  kOrder = 4,
  kNextSentence = 5,
  kSubset = 6,
  kWindow = 7,
  kSpans = 8,
  kPrefix = 9,
  kAnswer = 10,
  kGenerate = 11,
  kMixture = 20,
  kCurriculum = 21,
  kAugment = 22,
  kMixup = 23,
  kRounding = 24,
  kSearch = 40,
};

// A key for (seed, purpose, parts…), where the parts are for instance phase, step and layer.
inline std::uint64_t random_key(std::uint64_t seed, Purpose purpose,
                                std::initializer_list<std::uint64_t> parts) {
  std::uint64_t key = seed;
  const auto mix = [&key](std::uint64_t part) {
    const PhiloxWords words = philox(key, part, 0x706F6C7970686173ULL);
    key = (std::uint64_t{words.word[1]} << 32) | words.word[0];
  };
  mix(static_cast<std::uint64_t>(purpose));
  for (const std::uint64_t part : parts) mix(part);
  return key;
}

}  // namespace polyphase
