// SPDX-License-Identifier: Apache-2.0
// One bit of a checkpoint turned, anywhere: verify tells, and a reader gives right values or an
// error. POLYPHASE_BIT_FLIPS: how many bits, drawn with a fixed seed over all bytes of all files.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/digest.hpp"
#include "checkpoint_fixture.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

struct Bit {
  std::filesystem::path file;
  std::int64_t byte = 0;
  int bit = 0;
};

std::vector<Bit> drawn_bits(const std::filesystem::path& folder, int count) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<double> sizes;
  for (const auto& file : files)
    sizes.push_back(static_cast<double>(std::filesystem::file_size(file)));
  std::mt19937_64 draw(7);
  std::discrete_distribution<std::size_t> file_of(sizes.begin(), sizes.end());
  std::vector<Bit> bits;
  for (int i = 0; i < count; ++i) {
    const std::size_t file = file_of(draw);
    const auto num_bytes = static_cast<std::uint64_t>(sizes[file]);
    bits.push_back(
        {files[file], static_cast<std::int64_t>(draw() % num_bytes), static_cast<int>(draw() % 8)});
  }
  return bits;
}

void turn(const Bit& bit) {
  std::FILE* file = std::fopen(bit.file.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  std::fseek(file, static_cast<long>(bit.byte), SEEK_SET);
  const int before = std::fgetc(file);
  std::fseek(file, static_cast<long>(bit.byte), SEEK_SET);
  std::fputc(before ^ 1 << bit.bit, file);
  ASSERT_EQ(std::fclose(file), 0);
}

void expect_right_values_or_an_error(const std::filesystem::path& folder) {
  try {
    CheckpointReader reader(folder);
    testing_checkpoint::expect_reads_back(reader, 1, 0);
  } catch (const DataError&) {
  }
}

TEST(Checkpoint, EveryBitThatIsTurnedIsFound) {
  const ScratchFolder folder;
  const auto checkpoint = folder / "step-000001";
  testing_checkpoint::write_checkpoint(checkpoint, 2, 0, 1);
  const char* asked = std::getenv("POLYPHASE_BIT_FLIPS");
  int num_missed = 0;
  std::map<std::string, int> num_in;
  for (const Bit& bit : drawn_bits(checkpoint, asked == nullptr ? 300 : std::atoi(asked))) {
    turn(bit);
    ++num_in[bit.file.filename().string()];
    const std::vector<std::string> faults = verify_checkpoint(checkpoint);
    const bool named = std::any_of(faults.begin(), faults.end(), [&](const std::string& fault) {
      return contains(fault, bit.file.filename().string());
    });
    if (!named) ++num_missed;
    EXPECT_TRUE(named) << bit.file << " byte " << bit.byte << " bit " << bit.bit << ": "
                       << (faults.empty() ? "no fault" : faults.front());
    expect_right_values_or_an_error(checkpoint);
    turn(bit);
  }
  EXPECT_EQ(verify_checkpoint(checkpoint), std::vector<std::string>());
  for (const auto& [file, count] : num_in) std::printf("%s: %d bits turned\n", file.c_str(), count);
  EXPECT_EQ(num_missed, 0);
}

// As versions before wrote them: without digests of whole files.
TEST(Checkpoint, OneWithoutDigestsOfFilesIsStillRead) {
  const ScratchFolder folder;
  const auto checkpoint = folder / "step-000001";
  testing_checkpoint::write_checkpoint(checkpoint, 2, 0, 1);
  const auto manifest = checkpoint / "manifest.json";
  const std::string text = bytes_of(manifest);
  const std::size_t seal = text.rfind(",\n \"digest\"");
  nlohmann::json content = nlohmann::json::parse(text.substr(0, seal) + "}");
  ASSERT_EQ(content.erase("digests"), 1U);
  std::string older = content.dump(1);
  older.resize(older.size() - 2);
  put_bytes(manifest, older + ",\n \"digest\": \"" + digest(older) + "\"\n}\n");
  EXPECT_EQ(verify_checkpoint(checkpoint), std::vector<std::string>());
  CheckpointReader reader(checkpoint);
  testing_checkpoint::expect_reads_back(reader, 2, 0);
}

}  // namespace
}  // namespace polyphase
