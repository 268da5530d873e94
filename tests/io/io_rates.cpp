// SPDX-License-Identifier: Apache-2.0
// Prints how fast shards and checkpoints are written and read. Run by hand: io_rates FOLDER [MiB of
// tensors].
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "io/checkpoint.hpp"
#include "io/shard.hpp"

namespace polyphase {
namespace {

double seconds_of(const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// 10 sentences of `sentence_tokens` a document, 20 million tokens in all.
void shard_rates(const std::filesystem::path& folder, std::int64_t sentence_tokens) {
  constexpr std::int64_t kTokens = 20'000'000;
  const std::int64_t num_documents = kTokens / (10 * sentence_tokens);
  ShardHeader header;
  header.vocab_size = 8192;
  ShardText text;
  for (std::int64_t s = 0; s <= 10; ++s) text.sentence_starts.push_back(s * sentence_tokens);
  const double write_seconds = seconds_of([&] {
    ShardWriter writer(folder / "rates.h5", header);
    text.tokens.resize(static_cast<std::size_t>(10 * sentence_tokens), 77);
    for (std::int64_t d = 0; d < num_documents; ++d) writer.append(text);
    writer.finish();
  });
  ShardReader reader(folder / "rates.h5");
  constexpr std::int64_t kReads = 500'000;
  std::int64_t num_tokens = 0;
  const double read_seconds = seconds_of([&] {
    for (std::uint64_t i = 0; i < kReads; ++i) {
      const std::uint64_t draw = philox(7, i, 0).word[0];
      reader.read_sentences(static_cast<std::int64_t>(draw) % reader.num_sentences(), 1, text);
      num_tokens += static_cast<std::int64_t>(text.tokens.size());
    }
  });
  std::printf(
      "shard, sentences of %3ld tokens: write %.1f M tokens/s; random reads %.0f k/s, %.1f M "
      "tokens/s\n",
      static_cast<long>(sentence_tokens), 1e-6 * kTokens / write_seconds,
      1e-3 * kReads / read_seconds, 1e-6 * static_cast<double>(num_tokens) / read_seconds);
}

void checkpoint_rates(const std::filesystem::path& folder, std::int64_t num_mebibytes) {
  constexpr std::int64_t kRows = 256;
  const std::int64_t num_tensors = 16;
  const std::int64_t width = num_mebibytes * 1024 * 1024 / 4 / kRows / num_tensors;
  const std::vector<float> data(static_cast<std::size_t>(kRows * width), 1.0F);
  std::vector<TensorPart> parts;
  for (std::int64_t t = 0; t < num_tensors; ++t) {
    parts.push_back(
        {"parameters/w" + std::to_string(t), {kRows, width}, -1, 0, {kRows, width}, data.data()});
  }
  const double write_seconds = seconds_of([&] {
    const PartReport report = write_checkpoint_part(folder / "rates.tmp", 0, parts);
    commit_checkpoint(folder / "rates.tmp", folder / "rates", {report}, {});
  });
  std::vector<float> out(data.size());
  const auto read_all = [&](int num_parts) {
    CheckpointReader reader(folder / "rates");
    for (const TensorPart& part : parts) {
      for (int i = 0; i < num_parts; ++i) {
        reader.read(part.name, 1, width / num_parts * i, {kRows, width / num_parts}, out.data());
      }
    }
  };
  const double whole_seconds = seconds_of([&] { read_all(1); });
  const double split_seconds = seconds_of([&] { read_all(2); });
  const auto size = static_cast<double>(num_mebibytes) * 1.048576;
  std::printf(
      "checkpoint of %ld MiB: write with digests and fsync %.0f MB/s; read and verify %.0f MB/s "
      "whole, "
      "%.0f MB/s in two column slices\n",
      static_cast<long>(num_mebibytes), size / write_seconds, size / whole_seconds,
      size / split_seconds);
  std::filesystem::remove_all(folder / "rates");
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: io_rates FOLDER [MiB]\n");
    return 64;
  }
  const std::filesystem::path folder = argv[1];
  polyphase::shard_rates(folder, 20);
  polyphase::shard_rates(folder, 512);
  std::filesystem::remove(folder / "rates.h5");
  polyphase::checkpoint_rates(folder, argc > 2 ? std::atoi(argv[2]) : 512);
}
