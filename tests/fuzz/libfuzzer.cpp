// SPDX-License-Identifier: Apache-2.0
// What libFuzzer calls. POLYPHASE_FUZZ_TARGET names the reader; POLYPHASE_FUZZ_SEEDS a folder for
// its seeds, which are then written, and nothing else is done.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/error.hpp"
#include "tests/fuzz/targets.hpp"

namespace {

const polyphase::fuzz::Target* target = nullptr;

void write_seeds(const std::filesystem::path& folder) {
  for (const auto& each : polyphase::fuzz::targets()) {
    std::filesystem::create_directories(folder / each.name);
    int number = 0;
    for (const std::string& seed : each.seeds()) {
      std::ofstream(folder / each.name / fmt::format("seed-{:03}", number++), std::ios::binary)
          << seed;
    }
    fmt::print("{}\n", each.name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  try {
    if (const char* folder = std::getenv("POLYPHASE_FUZZ_SEEDS")) {
      write_seeds(folder);
      std::exit(0);
    }
    const char* name = std::getenv("POLYPHASE_FUZZ_TARGET");
    target = &polyphase::fuzz::target_named(name == nullptr ? "" : name);
  } catch (const polyphase::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(1);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  target->read({reinterpret_cast<const char*>(data), size});
  return 0;
}
